package plugin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
)

// What the gateway answers where it does not do what it is asked. Test with errors.Is.
var (
	// ErrDenied: there is no grant for it in the configuration.
	ErrDenied = errors.New("denied: no grant for this in the configuration")
	// ErrTooLate: too early or too late in the transaction.
	ErrTooLate = errors.New("too early or too late in the transaction")
	// ErrOutOfRange: no such recipient, header, position or upstream, or more than the gateway keeps.
	ErrOutOfRange = errors.New("out of range")
	// ErrMalformed: no valid address, header name, value or URL.
	ErrMalformed = errors.New("malformed")
	// ErrTooMany: more than 100 queries at once, or more than 500 in one hook.
	ErrTooMany = errors.New("too many queries")
	// ErrNoSuchName: NXDOMAIN.
	ErrNoSuchName = errors.New("no such name")
	// ErrNoData: the name exists, this kind of record does not.
	ErrNoData = errors.New("no records of this kind")
	// ErrFailed: the look-up failed; neither yes nor no.
	ErrFailed = errors.New("look-up failed")
	// ErrTimedOut: no answer in time.
	ErrTimedOut = errors.New("timed out")
	// ErrTooLarge: more than the gateway takes.
	ErrTooLarge = errors.New("too large")
	// ErrConflict: the stored version is another one.
	ErrConflict = errors.New("another version is stored")
	// ErrNotACounter: add to what is not a number, or beyond 64 bits.
	ErrNotACounter = errors.New("not a counter")
	// ErrUnsupported: the upstream is no server that could be asked.
	ErrUnsupported = errors.New("not a server that could be asked")
	// ErrUnavailable: the store or the server does not answer.
	ErrUnavailable = errors.New("unavailable")
	// ErrTooEarly: the hook does not know that much yet.
	ErrTooEarly = errors.New("too early")
)

// Host is what a plugin reaches beyond the mail that it judges. In wasm it is the gateway; tests get
// theirs from package plugintest. Use the functions below instead.
type Host interface {
	LogEnabled(level slog.Level) bool
	Log(level slog.Level, text string, fields [][2]string)
	Count(name string, by uint64, label *[2]string)
	Observe(name string, value float64)
	Now() time.Time
	Random(count int) []byte
	Lookup(queries []Query) ([]Answer, error)
	OpenStore(name string) (Store, error)
	Send(requests []Request) []Response
	SendContent(request Request, content Reader) Response
	OpenStream(address string, timeout time.Duration) (Stream, error)
	Verify(upstream, sender string, recipients []string) ([]Reply, error)
	UpstreamState(upstream string) (map[string]uint64, error)
	AuthSender(s Session, t Transaction) ([]Finding, error)
	AuthContent(s Session, t Transaction, m Message) ([]Finding, error)
}

var host Host = nobody{}

// SetHost is for tests; it returns the one before.
func SetHost(h Host) Host {
	before := host
	host = h
	return before
}

// Count adds to the counter portcullis_plugin_<plugin>_<name>_total.
func Count(name string, by uint64) { host.Count(name, by, nil) }

// CountLabel does the same under a label.
func CountLabel(name string, by uint64, label, value string) {
	host.Count(name, by, &[2]string{label, value})
}

// Observe adds to the histogram portcullis_plugin_<plugin>_<name>.
func Observe(name string, value float64) { host.Observe(name, value) }

// Now is the time. time.Now tells the same, but tests cannot set it.
func Now() time.Time { return host.Now() }

// Random is from the operating system's generator, at most 64 KiB, and not in Configure. The standard
// library's math/rand was seeded when the plugin was configured: all copies have the same numbers.
func Random(count int) []byte { return host.Random(count) }

// Kind is the kind of a DNS record.
type Kind uint8

// The kinds that can be asked for.
const (
	A Kind = iota
	AAAA
	MX
	NS
	TXT
	PTR
	CNAME
	SRV
	TLSA
)

// Query is a question to DNS. For PTR the name may be an IP address.
type Query struct {
	Name string
	Kind Kind
}

// Answer is what DNS said.
type Answer struct {
	// Records are as in a zone file, without the dot at the end; there are some if Err is nil.
	Records []string
	// Err is ErrNoSuchName, ErrNoData, ErrFailed or ErrTimedOut. The first two are answers, the others
	// are none: see Unknown.
	Err error
}

// Unknown is whether DNS said neither yes nor no.
func (a Answer) Unknown() bool {
	return errors.Is(a.Err, ErrFailed) || errors.Is(a.Err, ErrTimedOut)
}

// Lookup asks all at once and answers in the order of the queries. Grant dns.
func Lookup(queries ...Query) ([]Answer, error) { return host.Lookup(queries) }

// LookupOne asks one question; the error may also be ErrDenied or ErrTooMany.
func LookupOne(name string, kind Kind) Answer {
	answers, err := host.Lookup([]Query{{name, kind}})
	if err != nil {
		return Answer{Err: err}
	}
	return answers[0]
}

// Entry is what a store holds under a key.
type Entry struct {
	Value   []byte
	Version uint64
}

// Put says how a value is stored. The zero value: for ever, whatever was there.
type Put struct {
	// TTL is rounded up to seconds; 0 is for ever.
	TTL time.Duration
	// Expect is the version that must be stored now. IfAbsent: none.
	Expect   uint64
	IfAbsent bool
}

// Store is a key-value store of the configuration, shared by all copies. Errors are ErrDenied,
// ErrTooLarge, ErrConflict, ErrNotACounter, ErrUnavailable.
type Store interface {
	// Get answers in the order of the keys; nil where there is nothing.
	Get(keys ...string) ([]*Entry, error)
	// Put tells the new version.
	Put(key string, value []byte, how Put) (version uint64, err error)
	// Add is atomic and tells the sum. The time to live is set when the counter is made; 0 is for ever.
	Add(key string, by int64, ttl time.Duration) (sum int64, err error)
	Delete(keys ...string) error
	// Close is only needed by those who open many.
	Close() error
}

// OpenStore opens a store by its name in the configuration. Grant kv. Open it in the hook: a store
// that was opened in Configure is not there in the copies.
func OpenStore(name string) (Store, error) { return host.OpenStore(name) }

// Header is a header of a HTTP request or response.
type Header struct{ Name, Value string }

// Request is a HTTP request. Its body is at most 1 MiB.
type Request struct {
	Method, URL string
	Headers     []Header
	Body        []byte
	// Timeout is at most, and by default, what is left of the plugin's time_limit.
	Timeout time.Duration
}

// Response is a HTTP response, or the error instead: ErrDenied, ErrMalformed, ErrTooLarge,
// ErrTimedOut, ErrUnavailable.
type Response struct {
	Status  int
	Headers []Header
	Body    []byte
	Err     error
}

// Send sends requests all at once, at most 16, to origins that were granted. Grant http.
func Send(requests ...Request) []Response { return host.Send(requests) }

// SendContent sends one request whose body is the rest of what the reader has.
func SendContent(request Request, content Reader) Response {
	return host.SendContent(request, content)
}

// Stream is a connection to a service that does not speak HTTP. It ends with the hook that opened it, or
// when it is closed. Read waits for something; at the end it is io.EOF. Errors are ErrTooMany (more than
// 1 MiB in one Write), ErrTimedOut and ErrUnavailable.
type Stream interface {
	io.ReadWriteCloser
	// WriteContent writes what the reader still has, at most so much, without passing it through the
	// plugin, and tells how much it was.
	WriteContent(content Reader, most uint64) (written uint64, err error)
}

// OpenStream connects to "host:port" or "unix:/path", letter by letter as it is granted. The timeout is
// that of every later call as well; at most, and with 0, it is what is left of the plugin's time_limit.
// Grant streams. Errors are ErrDenied, ErrTooMany (16 are open), ErrTimedOut, ErrUnavailable.
func OpenStream(address string, timeout time.Duration) (Stream, error) {
	return host.OpenStream(address, timeout)
}

// Verify asks an upstream whether it would take mail for these recipients, at most 100; a reply each, in
// their order. An empty sender is the null reverse-path. Grant upstreams. Errors are ErrDenied,
// ErrTooMany, ErrUnsupported, ErrTimedOut, ErrUnavailable.
func Verify(upstream, sender string, recipients ...string) ([]Reply, error) {
	return host.Verify(upstream, sender, recipients)
}

// UpstreamState is numbers of how an upstream is: available (0 or 1), connections, busy (in a
// transaction), waiting (for a connection), limit (of connections). Grant upstreams. Errors are
// ErrDenied and ErrUnsupported.
func UpstreamState(upstream string) (map[string]uint64, error) { return host.UpstreamState(upstream) }

// Finding is what the gateway found out about who sent the message, in the words of RFC 8601.
type Finding struct {
	// Method is iprev, spf, dkim, dmarc or arc.
	Method string
	// Result is pass, fail, softfail, neutral, none, temperror, permerror or policy.
	Result     string
	Reason     string
	Properties []Property
}

// Property is for example header.d and example.org.
type Property struct{ Name, Value string }

// Property is the value of a property of this name, or empty.
func (f Finding) Property(name string) string {
	for _, property := range f.Properties {
		if property.Name == name {
			return property.Value
		}
	}
	return ""
}

// AuthenticateSender is iprev and SPF. From Mail on; grant mail-auth. Errors: ErrDenied, ErrTooEarly.
func AuthenticateSender(s Session, t Transaction) ([]Finding, error) {
	return host.AuthSender(s, t)
}

// AuthenticateContent is DKIM, ARC and DMARC of the complete message. In Message; grant mail-auth.
func AuthenticateContent(s Session, t Transaction, m Message) ([]Finding, error) {
	return host.AuthContent(s, t, m)
}

// LevelTrace is below slog.LevelDebug.
const LevelTrace = slog.LevelDebug - 4

// LogHandler puts what is logged by log/slog, and so by log, into the gateway's log. In wasm it is the
// default.
func LogHandler() slog.Handler { return handler{} }

type handler struct {
	fields [][2]string
	group  string
}

func (handler) Enabled(_ context.Context, level slog.Level) bool { return host.LogEnabled(level) }

func (h handler) Handle(_ context.Context, record slog.Record) error {
	fields := h.fields[:len(h.fields):len(h.fields)]
	record.Attrs(func(a slog.Attr) bool {
		fields = flatten(fields, h.group, a)
		return true
	})
	host.Log(record.Level, record.Message, fields)
	return nil
}

func (h handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	h.fields = h.fields[:len(h.fields):len(h.fields)]
	for _, a := range attributes {
		h.fields = flatten(h.fields, h.group, a)
	}
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.group += name + "."
	}
	return h
}

func flatten(fields [][2]string, group string, a slog.Attr) [][2]string {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			fields = flatten(fields, group, inner)
		}
		return fields
	}
	if a.Key == "" {
		return fields
	}
	return append(fields, [2]string{group + a.Key, value.String()})
}

// nobody is there in a native program without plugintest.
type nobody struct{}

const alone = "outside the gateway this needs plugintest.NewHost"

func (nobody) LogEnabled(slog.Level) bool                         { return false }
func (nobody) Log(slog.Level, string, [][2]string)                {}
func (nobody) Count(string, uint64, *[2]string)                   {}
func (nobody) Observe(string, float64)                            {}
func (nobody) Now() time.Time                                     { return time.Now() }
func (nobody) Random(int) []byte                                  { panic(alone) }
func (nobody) Lookup([]Query) ([]Answer, error)                   { panic(alone) }
func (nobody) OpenStore(string) (Store, error)                    { panic(alone) }
func (nobody) Send([]Request) []Response                          { panic(alone) }
func (nobody) SendContent(Request, Reader) Response               { panic(alone) }
func (nobody) OpenStream(string, time.Duration) (Stream, error)   { panic(alone) }
func (nobody) Verify(string, string, []string) ([]Reply, error)   { panic(alone) }
func (nobody) UpstreamState(string) (map[string]uint64, error)    { panic(alone) }
func (nobody) AuthSender(Session, Transaction) ([]Finding, error) { panic(alone) }
func (nobody) AuthContent(Session, Transaction, Message) ([]Finding, error) {
	panic(alone)
}
