// Package plugintest stands in for the gateway, so that go test runs a plugin without wasm.
//
//	gateway := plugintest.NewHost(t)
//	gateway.DNS["A 1.2.0.192.list.example"] = plugin.Answer{Records: []string{"127.0.0.2"}}
//	closed := plugintest.Configure(t, &Closed{}, `{"domains": ["closed.example"]}`)
//	verdict, err := closed.Rcpt(&plugintest.Session{}, &plugintest.Transaction{}, plugintest.Recipient("a@closed.example"))
//
// Fakes keep to grants, forms and indexes as the gateway does, but do not know whether an edit comes
// too early or too late in the transaction.
package plugintest

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portcullis.example/plugin"
)

// Grant is a right of the configuration.
type Grant string

// The grants that fakes know.
const (
	DNS             Grant = "dns"
	KV              Grant = "kv"
	HTTP            Grant = "http"
	Streams         Grant = "streams"
	Upstreams       Grant = "upstreams"
	MailAuth        Grant = "mail-auth"
	RewriteBody     Grant = "rewrite-body"
	RewriteEnvelope Grant = "rewrite-envelope"
	RewriteHeaders  Grant = "rewrite-headers"
	Route           Grant = "route"
)

// Line is a line that was logged.
type Line struct {
	Level  slog.Level
	Text   string
	Fields map[string]string
}

// Host is the gateway of a test. Its fields may be set at any time.
type Host struct {
	// Denied are the grants that the plugin does not have. By default it has them all.
	Denied []Grant
	// DNS are answers by kind and name, "A mx.example.org". What is not there is plugin.ErrNoSuchName.
	DNS map[string]plugin.Answer
	// Asked are the questions, in the same form.
	Asked []string
	// Stores by name. A store that is not there is denied, as one that was not granted.
	Stores map[string]*Store
	// HTTP answers requests. By default all are denied.
	HTTP func(request plugin.Request, content []byte) plugin.Response
	// Services by address tell all that they have said in one stream, once they have heard so much there;
	// where there is no more than was read before, the stream ends. An error is what reading comes to. One
	// that is not there is denied, as one that was not granted.
	Services map[string]func(heard []byte) ([]byte, error)
	// Streamed is what each stream has been told, in the order of their opening.
	Streamed []*bytes.Buffer
	// Upstreams by name. One that is not there is denied, as one that was not granted.
	Upstreams map[string]*Upstream
	// Sender and Content are what mail-auth finds.
	Sender, Content []plugin.Finding
	// Time is what plugin.Now tells; by default what it is.
	Time time.Time
	// Logged, Counted and Observed are what the plugin said. A label is part of the name: mails{kind=spam}.
	Logged   []Line
	Counted  map[string]uint64
	Observed map[string][]float64
}

// NewHost is the gateway until the test ends, also for log/slog. Tests that have one cannot be
// parallel.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{
		DNS:      map[string]plugin.Answer{},
		Stores:   map[string]*Store{},
		Counted:  map[string]uint64{},
		Observed: map[string][]float64{},
	}
	before, logger := plugin.SetHost(h), slog.Default()
	slog.SetDefault(slog.New(plugin.LogHandler()))
	t.Cleanup(func() {
		plugin.SetHost(before)
		slog.SetDefault(logger)
	})
	return h
}

// Configure gives a plugin its settings, as the gateway does.
func Configure[P any](t testing.TB, p P, settings string) P {
	t.Helper()
	if err := plugin.Configure(p, settings); err != nil {
		t.Fatalf("configure: %v", err)
	}
	return p
}

func (h *Host) denies(grant Grant) bool { return slices.Contains(h.Denied, grant) }

// LogEnabled is always.
func (h *Host) LogEnabled(slog.Level) bool { return true }

// Log remembers.
func (h *Host) Log(level slog.Level, text string, fields [][2]string) {
	line := Line{level, text, map[string]string{}}
	for _, field := range fields {
		line.Fields[field[0]] = field[1]
	}
	h.Logged = append(h.Logged, line)
}

// Count remembers.
func (h *Host) Count(name string, by uint64, label *[2]string) {
	if label != nil {
		name = fmt.Sprintf("%s{%s=%s}", name, label[0], label[1])
	}
	h.Counted[name] += by
}

// Observe remembers.
func (h *Host) Observe(name string, value float64) {
	h.Observed[name] = append(h.Observed[name], value)
}

// Now is Host.Time.
func (h *Host) Now() time.Time {
	if h.Time.IsZero() {
		return time.Now()
	}
	return h.Time
}

// Random counts from 0: tests want to know.
func (h *Host) Random(count int) []byte {
	octets := make([]byte, count)
	for i := range octets {
		octets[i] = byte(i)
	}
	return octets
}

var kinds = [...]string{"A", "AAAA", "MX", "NS", "TXT", "PTR", "CNAME", "SRV", "TLSA"}

// Lookup answers from Host.DNS.
func (h *Host) Lookup(queries []plugin.Query) ([]plugin.Answer, error) {
	switch {
	case h.denies(DNS):
		return nil, plugin.ErrDenied
	case len(queries) > 100:
		return nil, plugin.ErrTooMany
	}
	answers := make([]plugin.Answer, len(queries))
	for i, query := range queries {
		question := kinds[query.Kind] + " " + strings.TrimSuffix(strings.ToLower(query.Name), ".")
		h.Asked = append(h.Asked, question)
		answer, ok := h.DNS[question]
		if !ok {
			answer.Err = plugin.ErrNoSuchName
		}
		answers[i] = answer
	}
	return answers, nil
}

// OpenStore opens one of Host.Stores.
func (h *Host) OpenStore(name string) (plugin.Store, error) {
	store, ok := h.Stores[name]
	if !ok || h.denies(KV) {
		return nil, plugin.ErrDenied
	}
	return store, nil
}

// Send asks Host.HTTP.
func (h *Host) Send(requests []plugin.Request) []plugin.Response {
	responses := make([]plugin.Response, len(requests))
	for i, request := range requests {
		responses[i] = h.send(request, request.Body)
	}
	return responses
}

// SendContent asks Host.HTTP.
func (h *Host) SendContent(request plugin.Request, content plugin.Reader) plugin.Response {
	return h.send(request, content.(*Reader).rest())
}

func (h *Host) send(request plugin.Request, content []byte) plugin.Response {
	if h.HTTP == nil || h.denies(HTTP) {
		return plugin.Response{Err: plugin.ErrDenied}
	}
	return h.HTTP(request, content)
}

type stream struct {
	says  func([]byte) ([]byte, error)
	heard *bytes.Buffer
	read  int
}

// OpenStream asks Host.Services.
func (h *Host) OpenStream(address string, _ time.Duration) (plugin.Stream, error) {
	says, ok := h.Services[address]
	if !ok || h.denies(Streams) {
		return nil, plugin.ErrDenied
	}
	heard := &bytes.Buffer{}
	h.Streamed = append(h.Streamed, heard)
	return &stream{says: says, heard: heard}, nil
}

func (s *stream) Write(octets []byte) (int, error) {
	if len(octets) > 1<<20 {
		return 0, plugin.ErrTooMany
	}
	return s.heard.Write(octets)
}

func (s *stream) WriteContent(content plugin.Reader, most uint64) (uint64, error) {
	written, err := io.CopyN(s.heard, content, int64(min(most, math.MaxInt64)))
	if err == io.EOF {
		err = nil
	}
	return uint64(written), err
}

func (s *stream) Read(into []byte) (int, error) {
	said, err := s.says(s.heard.Bytes())
	if err != nil {
		return 0, err
	}
	if s.read >= len(said) {
		return 0, io.EOF
	}
	count := copy(into, said[s.read:])
	s.read += count
	return count, nil
}

func (s *stream) Close() error { return nil }

// Upstream is an upstream that takes everybody of whom it says nothing else.
type Upstream struct {
	// Replies by recipient.
	Replies map[string]plugin.Reply
	// Err, if it is set, is what asking comes to: plugin.ErrTimedOut, for example.
	Err error
	// State is what plugin.UpstreamState tells.
	State map[string]uint64
	// Asked are the recipients that it was asked for.
	Asked []string
}

// Verify asks one of Host.Upstreams.
func (h *Host) Verify(name, _ string, recipients []string) ([]plugin.Reply, error) {
	upstream, ok := h.Upstreams[name]
	switch {
	case !ok || h.denies(Upstreams):
		return nil, plugin.ErrDenied
	case len(recipients) > 100:
		return nil, plugin.ErrTooMany
	}
	upstream.Asked = append(upstream.Asked, recipients...)
	if upstream.Err != nil {
		return nil, upstream.Err
	}
	replies := make([]plugin.Reply, len(recipients))
	for i, recipient := range recipients {
		reply, ok := upstream.Replies[recipient]
		if !ok {
			reply = plugin.Reply{Code: 250, Status: "2.1.5", Text: "ok"}
		}
		replies[i] = reply
	}
	return replies, nil
}

// UpstreamState is Upstream.State.
func (h *Host) UpstreamState(name string) (map[string]uint64, error) {
	upstream, ok := h.Upstreams[name]
	if !ok || h.denies(Upstreams) {
		return nil, plugin.ErrDenied
	}
	return upstream.State, nil
}

// AuthSender is Host.Sender.
func (h *Host) AuthSender(plugin.Session, plugin.Transaction) ([]plugin.Finding, error) {
	if h.denies(MailAuth) {
		return nil, plugin.ErrDenied
	}
	return h.Sender, nil
}

// AuthContent is Host.Content.
func (h *Host) AuthContent(plugin.Session, plugin.Transaction, plugin.Message) ([]plugin.Finding, error) {
	if h.denies(MailAuth) {
		return nil, plugin.ErrDenied
	}
	return h.Content, nil
}

// Store is a store in memory, where nothing ever expires. The zero value is empty.
type Store struct {
	Entries map[string]plugin.Entry
	// Err, if it is set, is the answer to everything: plugin.ErrUnavailable, for example.
	Err error
}

// Get gets.
func (s *Store) Get(keys ...string) ([]*plugin.Entry, error) {
	if s.Err != nil {
		return nil, s.Err
	}
	entries := make([]*plugin.Entry, len(keys))
	for i, key := range keys {
		if entry, ok := s.Entries[key]; ok {
			entries[i] = &entry
		}
	}
	return entries, nil
}

// Put puts.
func (s *Store) Put(key string, value []byte, how plugin.Put) (uint64, error) {
	stored, there := s.Entries[key]
	switch {
	case s.Err != nil:
		return 0, s.Err
	case how.IfAbsent && there, how.Expect != 0 && how.Expect != stored.Version:
		return 0, plugin.ErrConflict
	}
	if s.Entries == nil {
		s.Entries = map[string]plugin.Entry{}
	}
	s.Entries[key] = plugin.Entry{Value: slices.Clone(value), Version: stored.Version + 1}
	return stored.Version + 1, nil
}

// Add adds.
func (s *Store) Add(key string, by int64, _ time.Duration) (int64, error) {
	if s.Err != nil {
		return 0, s.Err
	}
	var sum int64
	if stored, there := s.Entries[key]; there {
		number, err := strconv.ParseInt(string(stored.Value), 10, 64)
		if err != nil {
			return 0, plugin.ErrNotACounter
		}
		sum = number
	}
	sum += by
	_, err := s.Put(key, []byte(strconv.FormatInt(sum, 10)), plugin.Put{})
	return sum, err
}

// Delete deletes.
func (s *Store) Delete(keys ...string) error {
	for _, key := range keys {
		delete(s.Entries, key)
	}
	return s.Err
}

// Close does nothing.
func (s *Store) Close() error { return nil }
