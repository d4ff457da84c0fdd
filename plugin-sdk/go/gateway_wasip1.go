package plugin

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	wit "portcullis.example/plugin/internal/wit/runtime"
	"portcullis.example/plugin/internal/wit/smtp_filter_clock"
	"portcullis.example/plugin/internal/wit/smtp_filter_dns"
	"portcullis.example/plugin/internal/wit/smtp_filter_http"
	"portcullis.example/plugin/internal/wit/smtp_filter_kv"
	"portcullis.example/plugin/internal/wit/smtp_filter_log"
	"portcullis.example/plugin/internal/wit/smtp_filter_mail_auth"
	"portcullis.example/plugin/internal/wit/smtp_filter_metrics"
	"portcullis.example/plugin/internal/wit/smtp_filter_random"
	"portcullis.example/plugin/internal/wit/smtp_filter_streams"
	"portcullis.example/plugin/internal/wit/smtp_filter_types"
	"portcullis.example/plugin/internal/wit/smtp_filter_upstreams"
	"portcullis.example/plugin/internal/wit/types"
)

// What results may take: a large header section, a value of a store, a response with its headers.
const (
	headerOctets   = 256 << 10
	valueOctets    = 65 << 10
	responseOctets = 1<<20 + 256<<10
	replyOctets    = 8 << 10
)

// taken lets the collector have what a call has brought, now that Go's own pointers hold it.
func taken[T any](value T) T {
	wit.Unpin()
	return value
}

func option[T any](value T, there bool) wit_types.Option[T] {
	if there {
		return wit_types.Some(value)
	}
	return wit_types.None[T]()
}

func done(result wit_types.Result[wit_types.Unit, smtp_filter_types.EditError]) error {
	_, err := edited(result)
	return err
}

func edited[T any](result wit_types.Result[T, smtp_filter_types.EditError]) (value T, err error) {
	wit.Unpin()
	if result.Tag() == wit_types.ResultOk {
		return result.Ok(), nil
	}
	return value, [...]error{ErrDenied, ErrTooLate, ErrOutOfRange, ErrMalformed}[result.Err()]
}

type session struct{ *smtp_filter_types.Session }

func (s session) ID() string            { return taken(s.Session.Id()) }
func (s session) Listener() string      { return taken(s.Session.Listener()) }
func (s session) ClientAddress() string { return taken(s.Session.ClientAddress()) }
func (s session) ClientName() string    { return taken(s.Session.ClientName()).SomeOr("") }
func (s session) Helo() string          { return taken(s.Session.Helo()).SomeOr("") }
func (s session) ESMTP() bool           { return s.Session.Esmtp() }
func (s session) TLSAtProxy() bool      { return s.Session.TlsAtProxy() }
func (s session) User() string          { return taken(s.Session.User()).SomeOr("") }
func (s session) Mechanism() string     { return taken(s.Session.Mechanism()).SomeOr("") }
func (s session) Load() []byte          { return taken(s.Session.Load()).SomeOr(nil) }
func (s session) Save(b []byte) error   { return done(s.Session.Save(b)) }

func (s session) SetNote(key, value string) error { return done(s.Session.SetNote(key, value)) }

func (s session) Conduct() map[string]uint32 {
	conduct := map[string]uint32{}
	for _, lapse := range taken(s.Session.Conduct()) {
		conduct[lapse.F0] = lapse.F1
	}
	return conduct
}

func (s session) Delay(d time.Duration) error {
	milliseconds := d.Milliseconds()
	if milliseconds < 0 || milliseconds > math.MaxUint32 {
		return ErrOutOfRange
	}
	return done(s.Session.Delay(uint32(milliseconds)))
}

func (s session) Note(name string) (string, bool) {
	note := taken(s.Session.Note(name))
	return note.SomeOr(""), note.IsSome()
}

func (s session) TLS() *TLS {
	tls := taken(s.Session.Tls())
	if tls.IsNone() {
		return nil
	}
	t := tls.Some()
	return &TLS{t.Version, t.Cipher, t.ServerName.SomeOr(""), t.ClientSubject.SomeOr("")}
}

func (s session) Forwarded() *Forwarded {
	forwarded := taken(s.Session.Forwarded())
	if forwarded.IsNone() {
		return nil
	}
	f := forwarded.Some()
	return &Forwarded{
		Name:     f.Name.SomeOr(""),
		Address:  f.Address.SomeOr(""),
		Protocol: f.Protocol.SomeOr(""),
		Helo:     f.Helo.SomeOr(""),
		Identity: f.Identity.SomeOr(""),
		Source:   f.Source.SomeOr(""),
		Port:     f.Port.SomeOr(0),
	}
}

type transaction struct{ *smtp_filter_types.Transaction }

func parameters(given []smtp_filter_types.Parameter) []Parameter {
	all := make([]Parameter, len(given))
	for i, p := range given {
		all[i] = Parameter{p.Keyword, p.Value.SomeOr(""), p.Value.IsSome()}
	}
	return all
}

func recipient(r smtp_filter_types.Recipient) Recipient {
	return Recipient{r.Index, r.Address, parameters(r.Parameters)}
}

func (t transaction) ID() string     { return taken(t.Transaction.Id()) }
func (t transaction) Sender() string { return taken(t.Transaction.Sender()).SomeOr("") }
func (t transaction) Parameters() []Parameter {
	return parameters(taken(t.Transaction.Parameters()))
}

func (t transaction) Recipients() []Recipient {
	given := taken(t.Transaction.Recipients())
	all := make([]Recipient, len(given))
	for i, r := range given {
		all[i] = recipient(r)
	}
	return all
}

func (t transaction) SetSender(address string) error {
	return done(t.Transaction.SetSender(option(address, address != "")))
}

func (t transaction) AddRecipient(address string) (uint32, error) {
	return edited(t.Transaction.AddRecipient(address))
}

func (t transaction) SetRecipient(index uint32, address string) error {
	return done(t.Transaction.SetRecipient(index, address))
}

func (t transaction) DropRecipient(index uint32) error {
	return done(t.Transaction.DropRecipient(index))
}

func (t transaction) RefuseRecipient(index uint32, answer Reply) error {
	return done(t.Transaction.RefuseRecipient(index, reply(answer)))
}

func (t transaction) Route(upstream string) error {
	return done(t.Transaction.Route(upstream, wit_types.None[uint32]()))
}

func (t transaction) RouteRecipient(index uint32, upstream string) error {
	return done(t.Transaction.Route(upstream, wit_types.Some(index)))
}

func (t transaction) Score(symbol string, points float64) error {
	return done(t.Transaction.Score(symbol, points))
}

func (t transaction) Scores() []Score {
	given := taken(t.Transaction.Scores())
	all := make([]Score, len(given))
	for i, s := range given {
		all[i] = Score{s.F0, s.F1}
	}
	return all
}

type message struct{ *smtp_filter_types.Message }

func (m message) ReadAll() Reader  { return reader{m.Message.ReadAll()} }
func (m message) ReadBody() Reader { return reader{m.Message.ReadBody()} }

func (m message) HeaderSection() []byte {
	wit.Reserve(headerOctets)
	return taken(m.Message.HeaderSection())
}

func (m message) Header(name string) []string {
	given := m.Message.Header(name)
	values := make([]string, len(given))
	for i, value := range given {
		values[i] = string(value)
	}
	return taken(values)
}

func (m message) Parts() []Part {
	given := taken(m.Message.Parts())
	all := make([]Part, len(given))
	for i, p := range given {
		all[i] = Part{
			Index:       p.Index,
			Parent:      p.Parent.SomeOr(0),
			Root:        p.Parent.IsNone(),
			ContentType: p.ContentType,
			Charset:     p.Charset.SomeOr(""),
			Disposition: p.Disposition.SomeOr(""),
			FileName:    p.FileName.SomeOr(""),
			Size:        p.Size,
		}
		if p.Encoded.IsSome() {
			all[i].Encoded = &Extent{p.Encoded.Some().F0, p.Encoded.Some().F1}
		}
	}
	return all
}

func (m message) ReadPart(index uint32) (Reader, bool) {
	part := m.Message.ReadPart(index)
	if part.IsNone() {
		return nil, false
	}
	return reader{part.Some()}, true
}

func (m message) AddHeader(at int, name, value string) error {
	return done(m.Message.AddHeader(option(uint32(at), at >= 0), name, []byte(value)))
}

func (m message) SetHeader(name string, nth int, value string) error {
	if nth < 0 {
		return ErrOutOfRange
	}
	return done(m.Message.SetHeader(name, uint32(nth), []byte(value)))
}

func (m message) DropHeader(name string, nth int) error {
	if nth < 0 {
		return ErrOutOfRange
	}
	return done(m.Message.DropHeader(name, uint32(nth)))
}

func (m message) ReplaceBody() (Writer, error) {
	w, err := edited(m.Message.ReplaceBody())
	if err != nil {
		return nil, err
	}
	return writer{w}, nil
}

func (m message) SpliceBody(at, length uint64, with []byte) error {
	return done(m.Message.SpliceBody(at, length, with))
}

type reader struct{ *smtp_filter_types.Reader }

func (r reader) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	read := taken(r.Reader.Read(uint32(min(len(into), 64<<10))))
	if len(read) == 0 {
		return 0, io.EOF
	}
	return copy(into, read), nil
}

// WriteTo spares io.Copy a buffer.
func (r reader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		chunk := taken(r.Reader.Read(64 << 10))
		if len(chunk) == 0 {
			return written, nil
		}
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

func (r reader) Find(needle []byte, within uint64) (uint64, bool) {
	offset := r.Reader.Find(needle, within)
	return offset.SomeOr(0), offset.IsSome()
}

func (r reader) SHA256() [32]byte { return [32]byte(taken(r.Reader.Sha256())) }

func (r reader) Close() error {
	r.Reader.Drop()
	return nil
}

type writer struct{ *smtp_filter_types.Writer }

func (w writer) Write(chunk []byte) (int, error) {
	if err := done(w.Writer.Write(chunk)); err != nil {
		return 0, err
	}
	return len(chunk), nil
}

func (w writer) Copy(source Reader, count uint64) (uint64, error) {
	return edited(w.Writer.Copy(source.(reader).Reader, count))
}

func (w writer) Close() error {
	err := done(w.Writer.Finish())
	w.Writer.Drop()
	return err
}

// gateway is the host of a plugin in wasm.
type gateway struct{}

func level(of slog.Level) smtp_filter_log.Level {
	switch {
	case of < slog.LevelDebug:
		return smtp_filter_log.LevelTrace
	case of < slog.LevelInfo:
		return smtp_filter_log.LevelDebug
	case of < slog.LevelWarn:
		return smtp_filter_log.LevelInfo
	case of < slog.LevelError:
		return smtp_filter_log.LevelWarn
	}
	return smtp_filter_log.LevelError
}

func (gateway) LogEnabled(at slog.Level) bool { return smtp_filter_log.Enabled(level(at)) }

func (gateway) Log(at slog.Level, text string, fields [][2]string) {
	pairs := make([]wit_types.Tuple2[string, string], len(fields))
	for i, field := range fields {
		pairs[i] = wit_types.Tuple2[string, string]{F0: field[0], F1: field[1]}
	}
	smtp_filter_log.Write(level(at), text, pairs)
}

func (gateway) Count(name string, by uint64, label *[2]string) {
	pair := wit_types.None[wit_types.Tuple2[string, string]]()
	if label != nil {
		pair = wit_types.Some(wit_types.Tuple2[string, string]{F0: label[0], F1: label[1]})
	}
	smtp_filter_metrics.Add(name, by, pair)
}

func (gateway) Observe(name string, value float64) { smtp_filter_metrics.Observe(name, value) }
func (gateway) Now() time.Time                     { return time.UnixMilli(int64(smtp_filter_clock.Now())) }
func (gateway) Random(count int) []byte            { return taken(smtp_filter_random.Bytes(uint32(count))) }

func (gateway) Lookup(queries []Query) ([]Answer, error) {
	asked := make([]smtp_filter_dns.Query, len(queries))
	for i, q := range queries {
		asked[i] = smtp_filter_dns.Query{Name: q.Name, Kind: smtp_filter_dns.Kind(q.Kind)}
	}
	result := taken(smtp_filter_dns.Lookup(asked))
	if result.Tag() != wit_types.ResultOk {
		return nil, [...]error{ErrDenied, ErrTooMany}[result.Err()]
	}
	answers := make([]Answer, len(queries))
	for i, a := range result.Ok() {
		switch a.Tag() {
		case smtp_filter_dns.AnswerRecords:
			answers[i].Records = a.Records()
		case smtp_filter_dns.AnswerNoSuchName:
			answers[i].Err = ErrNoSuchName
		case smtp_filter_dns.AnswerNoData:
			answers[i].Err = ErrNoData
		case smtp_filter_dns.AnswerTimedOut:
			answers[i].Err = ErrTimedOut
		default:
			answers[i].Err = fmt.Errorf("%w: %s", ErrFailed, a.Failed())
		}
	}
	return answers, nil
}

type store struct{ *smtp_filter_kv.Store }

func stored[T any](result wit_types.Result[T, smtp_filter_kv.KvError]) (value T, err error) {
	wit.Unpin()
	if result.Tag() == wit_types.ResultOk {
		return result.Ok(), nil
	}
	failure := result.Err()
	switch failure.Tag() {
	case smtp_filter_kv.KvErrorDenied:
		return value, ErrDenied
	case smtp_filter_kv.KvErrorTooLarge:
		return value, ErrTooLarge
	case smtp_filter_kv.KvErrorConflict:
		return value, ErrConflict
	case smtp_filter_kv.KvErrorNotACounter:
		return value, ErrNotACounter
	}
	return value, fmt.Errorf("%w: %s", ErrUnavailable, failure.Unavailable())
}

func seconds(ttl time.Duration) wit_types.Option[uint32] {
	return option(uint32((ttl+time.Second-1)/time.Second), ttl > 0)
}

func (gateway) OpenStore(name string) (Store, error) {
	opened, err := stored(smtp_filter_kv.StoreOpen(name))
	if err != nil {
		return nil, err
	}
	return store{opened}, nil
}

func (s store) Get(keys ...string) ([]*Entry, error) {
	wit.Reserve(uintptr(len(keys)+1) * valueOctets)
	given, err := stored(s.Store.Get(keys))
	if err != nil {
		return nil, err
	}
	entries := make([]*Entry, len(given))
	for i, e := range given {
		if e.IsSome() {
			entries[i] = &Entry{e.Some().Value, e.Some().Version}
		}
	}
	return entries, nil
}

func (s store) Put(key string, value []byte, how Put) (uint64, error) {
	expect := option(how.Expect, how.Expect != 0)
	if how.IfAbsent {
		expect = wit_types.Some(uint64(0))
	}
	return stored(s.Store.Put(key, value, seconds(how.TTL), expect))
}

func (s store) Add(key string, by int64, ttl time.Duration) (int64, error) {
	return stored(s.Store.Add(key, by, seconds(ttl)))
}

func (s store) Delete(keys ...string) error {
	_, err := stored(s.Store.Delete(keys))
	return err
}

func (s store) Close() error {
	s.Store.Drop()
	return nil
}

func request(r Request) smtp_filter_http.Request {
	headers := make([]wit_types.Tuple2[string, []uint8], len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = wit_types.Tuple2[string, []uint8]{F0: h.Name, F1: []byte(h.Value)}
	}
	return smtp_filter_http.Request{
		Method:    r.Method,
		Url:       r.URL,
		Headers:   headers,
		Body:      r.Body,
		TimeoutMs: option(uint32(r.Timeout.Milliseconds()), r.Timeout > 0),
	}
}

func response(result wit_types.Result[smtp_filter_http.Response, smtp_filter_http.HttpError]) Response {
	if result.Tag() == wit_types.ResultOk {
		given := result.Ok()
		headers := make([]Header, len(given.Headers))
		for i, h := range given.Headers {
			headers[i] = Header{h.F0, string(h.F1)}
		}
		return Response{Status: int(given.Status), Headers: headers, Body: given.Body}
	}
	failure := result.Err()
	switch failure.Tag() {
	case smtp_filter_http.HttpErrorDenied:
		return Response{Err: ErrDenied}
	case smtp_filter_http.HttpErrorMalformed:
		return Response{Err: fmt.Errorf("%w: %s", ErrMalformed, failure.Malformed())}
	case smtp_filter_http.HttpErrorTooLarge:
		return Response{Err: ErrTooLarge}
	case smtp_filter_http.HttpErrorTimedOut:
		return Response{Err: ErrTimedOut}
	}
	return Response{Err: fmt.Errorf("%w: %s", ErrUnavailable, failure.Unavailable())}
}

func (gateway) Send(requests []Request) []Response {
	asked := make([]smtp_filter_http.Request, len(requests))
	for i, r := range requests {
		asked[i] = request(r)
	}
	responses := make([]Response, len(requests))
	wit.Reserve(uintptr(len(requests)) * responseOctets)
	for i, r := range taken(smtp_filter_http.Send(asked)) {
		responses[i] = response(r)
	}
	return responses
}

func (gateway) SendContent(r Request, content Reader) Response {
	wit.Reserve(responseOctets)
	return response(taken(smtp_filter_http.SendContent(request(r), content.(reader).Reader)))
}

type stream struct {
	*smtp_filter_streams.Connection
}

func streamed[T any](result wit_types.Result[T, smtp_filter_streams.StreamError]) (value T, err error) {
	wit.Unpin()
	if result.Tag() == wit_types.ResultOk {
		return result.Ok(), nil
	}
	failure := result.Err()
	switch failure.Tag() {
	case smtp_filter_streams.StreamErrorDenied:
		return value, ErrDenied
	case smtp_filter_streams.StreamErrorTooMany:
		return value, ErrTooMany
	case smtp_filter_streams.StreamErrorTimedOut:
		return value, ErrTimedOut
	}
	return value, fmt.Errorf("%w: %s", ErrUnavailable, failure.Unavailable())
}

func (gateway) OpenStream(address string, timeout time.Duration) (Stream, error) {
	milliseconds := option(uint32(timeout.Milliseconds()), timeout > 0)
	connection, err := streamed(smtp_filter_streams.ConnectionOpen(address, milliseconds))
	if err != nil {
		return nil, err
	}
	return stream{connection}, nil
}

func (s stream) Write(octets []byte) (int, error) {
	if _, err := streamed(s.Connection.Write(octets)); err != nil {
		return 0, err
	}
	return len(octets), nil
}

func (s stream) WriteContent(content Reader, most uint64) (uint64, error) {
	return streamed(s.Connection.WriteContent(content.(reader).Reader, most))
}

func (s stream) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	read, err := streamed(s.Connection.Read(uint32(min(len(into), 64<<10))))
	if err != nil {
		return 0, err
	}
	if len(read) == 0 {
		return 0, io.EOF
	}
	return copy(into, read), nil
}

func (s stream) Close() error {
	s.Connection.Drop()
	return nil
}

func upstream[T any](result wit_types.Result[T, smtp_filter_upstreams.UpstreamError]) (value T, err error) {
	wit.Unpin()
	if result.Tag() == wit_types.ResultOk {
		return result.Ok(), nil
	}
	failure := result.Err()
	switch failure.Tag() {
	case smtp_filter_upstreams.UpstreamErrorDenied:
		return value, ErrDenied
	case smtp_filter_upstreams.UpstreamErrorTooMany:
		return value, ErrTooMany
	case smtp_filter_upstreams.UpstreamErrorUnsupported:
		return value, ErrUnsupported
	case smtp_filter_upstreams.UpstreamErrorTimedOut:
		return value, ErrTimedOut
	}
	return value, fmt.Errorf("%w: %s", ErrUnavailable, failure.Unavailable())
}

func (gateway) Verify(name, sender string, recipients []string) ([]Reply, error) {
	wit.Reserve(uintptr(len(recipients)+1) * replyOctets)
	given, err := upstream(smtp_filter_upstreams.Verify(name, option(sender, sender != ""), recipients))
	if err != nil {
		return nil, err
	}
	replies := make([]Reply, len(given))
	for i, r := range given {
		replies[i] = Reply{Code: int(r.Code), Text: r.Text}
		if r.Status.IsSome() {
			s := r.Status.Some()
			replies[i].Status = fmt.Sprintf("%d.%d.%d", s.F0, s.F1, s.F2)
		}
	}
	return replies, nil
}

func (gateway) UpstreamState(name string) (map[string]uint64, error) {
	given, err := upstream(smtp_filter_upstreams.State(name))
	if err != nil {
		return nil, err
	}
	numbers := make(map[string]uint64, len(given))
	for _, number := range given {
		numbers[number.F0] = number.F1
	}
	return numbers, nil
}

func findings(result wit_types.Result[[]smtp_filter_mail_auth.Finding, smtp_filter_mail_auth.AuthError]) ([]Finding, error) {
	wit.Unpin()
	if result.Tag() != wit_types.ResultOk {
		return nil, [...]error{ErrDenied, ErrTooEarly}[result.Err()]
	}
	all := make([]Finding, len(result.Ok()))
	for i, f := range result.Ok() {
		all[i] = Finding{Method: f.Method, Result: f.Outcome, Reason: f.Reason.SomeOr("")}
		for _, p := range f.Properties {
			all[i].Properties = append(all[i].Properties, Property{p.F0, p.F1})
		}
	}
	return all, nil
}

func (gateway) AuthSender(s Session, t Transaction) ([]Finding, error) {
	return findings(smtp_filter_mail_auth.Sender(s.(session).Session, t.(transaction).Transaction))
}

func (gateway) AuthContent(s Session, t Transaction, m Message) ([]Finding, error) {
	return findings(smtp_filter_mail_auth.Content(s.(session).Session, t.(transaction).Transaction, m.(message).Message))
}
