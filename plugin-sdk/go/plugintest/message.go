package plugintest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"slices"
	"strings"

	"portcullis.example/plugin"
)

// Message is a message. Text says how it became after the edits.
type Message struct {
	Grants []Grant
	// MIME and Decoded are what Parts and ReadPart tell: nothing is decoded here.
	MIME    []plugin.Part
	Decoded map[uint32]string

	fields  []string
	body    []byte
	edits   []headerEdit
	splices []splice
	written *[]byte
}

type headerEdit struct {
	at, remove int
	field      string
}

type splice struct {
	at, length uint64
	with       []byte
}

// NewMessage is a message of this text, whose lines may end in LF.
func NewMessage(text string, grants ...Grant) *Message {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	section, body, _ := strings.Cut(text, "\r\n\r\n")
	m := &Message{Grants: grants, body: []byte(body)}
	for line := range strings.SplitAfterSeq(strings.TrimSuffix(section, "\r\n")+"\r\n", "\r\n") {
		switch {
		case line == "":
		case (line[0] == ' ' || line[0] == '\t') && len(m.fields) > 0:
			m.fields[len(m.fields)-1] += line
		default:
			m.fields = append(m.fields, line)
		}
	}
	return m
}

// Text is the message with the edits, lines in LF.
func (m *Message) Text() string {
	fields := make([][]string, len(m.fields)+1)
	gone := make([]bool, len(m.fields)+1)
	for _, edit := range m.edits {
		if edit.remove > 0 {
			gone[edit.at] = true
		}
		if edit.field != "" {
			fields[edit.at] = append(fields[edit.at], edit.field)
		}
	}
	var text strings.Builder
	for i := range fields {
		text.WriteString(strings.Join(fields[i], ""))
		if i < len(m.fields) && !gone[i] {
			text.WriteString(m.fields[i])
		}
	}
	return strings.ReplaceAll(text.String()+"\r\n"+string(m.newBody()), "\r\n", "\n")
}

func (m *Message) newBody() []byte {
	if m.written != nil {
		return *m.written
	}
	slices.SortStableFunc(m.splices, func(a, b splice) int { return int(a.at) - int(b.at) })
	var body []byte
	var at uint64
	for _, s := range m.splices {
		body = append(append(body, m.body[at:s.at]...), s.with...)
		at = s.at + s.length
	}
	return append(body, m.body[at:]...)
}

func (m *Message) Size() uint64          { return uint64(len(m.content())) }
func (m *Message) HeaderSection() []byte { return []byte(strings.Join(m.fields, "")) }
func (m *Message) ReadAll() plugin.Reader {
	return &Reader{content: m.content()}
}
func (m *Message) ReadBody() plugin.Reader { return &Reader{content: m.body} }
func (m *Message) Parts() []plugin.Part    { return m.MIME }

func (m *Message) content() []byte {
	return slices.Concat(m.HeaderSection(), []byte("\r\n"), m.body)
}

func (m *Message) ReadPart(index uint32) (plugin.Reader, bool) {
	text, ok := m.Decoded[index]
	return &Reader{content: []byte(text)}, ok
}

func (m *Message) places(name string) (at []int) {
	for i, field := range m.fields {
		if key, _, ok := strings.Cut(field, ":"); ok && strings.EqualFold(strings.TrimSpace(key), name) {
			at = append(at, i)
		}
	}
	return at
}

func (m *Message) Header(name string) []string {
	var values []string
	for _, i := range m.places(name) {
		_, value, _ := strings.Cut(m.fields[i], ":")
		values = append(values, strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "")))
	}
	return values
}

func (m *Message) edit(edit headerEdit, name, value string) error {
	switch {
	case !slices.Contains(m.Grants, RewriteHeaders):
		return plugin.ErrDenied
	case edit.at < 0 || edit.at > len(m.fields):
		return plugin.ErrOutOfRange
	case name == "" || strings.ContainsAny(name, ": \t\r\n") || strings.ContainsAny(value, "\r\x00"):
		return plugin.ErrMalformed
	}
	m.edits = append(m.edits, edit)
	return nil
}

func (m *Message) AddHeader(at int, name, value string) error {
	if at < 0 {
		at = len(m.fields)
	}
	return m.edit(headerEdit{at: at, field: name + ": " + value + "\r\n"}, name, value)
}

func (m *Message) SetHeader(name string, nth int, value string) error {
	return m.edit(headerEdit{m.nth(name, nth), 1, name + ": " + value + "\r\n"}, name, value)
}

func (m *Message) DropHeader(name string, nth int) error {
	return m.edit(headerEdit{m.nth(name, nth), 1, ""}, name, "")
}

func (m *Message) nth(name string, nth int) int {
	places := m.places(name)
	if nth < 0 || nth >= len(places) {
		return -1
	}
	return places[nth]
}

func (m *Message) ReplaceBody() (plugin.Writer, error) {
	if !slices.Contains(m.Grants, RewriteBody) {
		return nil, plugin.ErrDenied
	}
	return &Writer{message: m}, nil
}

func (m *Message) SpliceBody(at, length uint64, with []byte) error {
	switch {
	case !slices.Contains(m.Grants, RewriteBody):
		return plugin.ErrDenied
	case at+length > uint64(len(m.body)):
		return plugin.ErrOutOfRange
	}
	m.splices = append(m.splices, splice{at, length, slices.Clone(with)})
	return nil
}

// Reader reads from memory.
type Reader struct {
	content []byte
	at      int
}

func (r *Reader) rest() []byte { return r.content[r.at:] }

func (r *Reader) Read(into []byte) (int, error) {
	if r.at == len(r.content) && len(into) > 0 {
		return 0, io.EOF
	}
	n := copy(into, r.rest())
	r.at += n
	return n, nil
}

func (r *Reader) Skip(count uint64) uint64 {
	skipped := min(count, uint64(len(r.rest())))
	r.at += int(skipped)
	return skipped
}

func (r *Reader) Find(needle []byte, within uint64) (uint64, bool) {
	rest := r.rest()
	offset := bytes.Index(rest[:min(uint64(len(rest)), within)], needle)
	return uint64(max(offset, 0)), offset >= 0
}

func (r *Reader) SHA256() [32]byte { return sha256.Sum256(r.rest()) }
func (r *Reader) Close() error     { return nil }

// Writer writes a new body into memory.
type Writer struct {
	message *Message
	written []byte
}

func (w *Writer) Write(chunk []byte) (int, error) {
	w.written = append(w.written, chunk...)
	return len(chunk), nil
}

func (w *Writer) Copy(source plugin.Reader, count uint64) (uint64, error) {
	rest := source.(*Reader).rest()
	copied := min(count, uint64(len(rest)))
	w.written = append(w.written, rest[:copied]...)
	source.Skip(copied)
	return copied, nil
}

// Close makes it the message's body.
func (w *Writer) Close() error {
	w.message.written = &w.written
	return nil
}
