// Trial reaches for all that a plugin can, and tells in a header what it got. The one in C tells the
// same. It fails for some recipients.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"portcullis.example/plugin"
)

type trial struct{}

func (t *trial) Connect(s plugin.Session) (plugin.Verdict, error) {
	return plugin.Next, errors.Join(s.Save([]byte("saved\x00")), s.SetNote("key", "noted"))
}

func (t *trial) Helo(_ plugin.Session, name string) (plugin.Verdict, error) {
	if name == "bad.example" {
		return plugin.Reject(550, "5.7.1", "not you"), nil
	}
	return plugin.Next, nil
}

func (t *trial) Auth(_ plugin.Session, c plugin.Credentials) (plugin.Authentication, error) {
	switch {
	case c.User == "bob":
		return plugin.Unavailable(454, "4.7.0", "ask later"), nil
	case c.Mechanism != "PLAIN" || c.Authorization != "" || !c.Revealed:
		return plugin.NotMine, nil
	case c.Secret == "open sesame":
		return plugin.Authenticated(c.User + "@example"), nil
	}
	return plugin.Refused(535, "5.7.8", "not ann"), nil
}

func (t *trial) Mail(_ plugin.Session, tr plugin.Transaction) (plugin.Verdict, error) {
	switch plugin.LocalPart(tr.Sender()) {
	case "defer":
		return plugin.Defer(450, "4.7.1", "later"), nil
	case "disconnect":
		return plugin.Disconnect(421, "", "go away"), nil
	case "accept":
		return plugin.Accept, nil
	}
	return plugin.Next, nil
}

func (t *trial) Data(_ plugin.Session, tr plugin.Transaction) (plugin.Verdict, error) {
	if plugin.LocalPart(tr.Sender()) == "discard" {
		return plugin.Discard("not wanted"), nil
	}
	return plugin.Next, nil
}

func (t *trial) Headers(_ plugin.Session, tr plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	if plugin.LocalPart(tr.Sender()) == "headers" && len(m.Header("Subject")) == 1 {
		return plugin.Reject(550, "", "two\nlines"), nil
	}
	return plugin.Next, nil
}

func (t *trial) Rcpt(_ plugin.Session, _ plugin.Transaction, r plugin.Recipient) (plugin.Verdict, error) {
	var none []int
	switch r.LocalPart() {
	case "trap":
		none[len(r.Address)] = 1
	case "error":
		return plugin.Next, errors.New("no luck")
	case "status":
		return plugin.Reject(550, "5.7", "half a status"), nil
	case "memory":
		for {
			none = append(none, make([]int, 1<<20)...)
		}
	case "loop":
		for {
		}
	case "exit":
		os.Exit(3)
	}
	return plugin.Next, nil
}

func (t *trial) Message(s plugin.Session, tr plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	told := strings.Join([]string{session(s), envelope(tr), content(m), parts(m), stored(), asked(s, tr, m), other()}, "; ")
	if err := rewrite(m); err != nil {
		return plugin.Next, err
	}
	return plugin.Next, m.AddHeader(plugin.AtEnd, "X-Trial", told)
}

func (t *trial) Outcome(events []plugin.Outcome) error {
	for _, e := range events {
		slog.Info(fmt.Sprintf("told %s %s %d <%s> <%s> %v", e.Stage, e.ClientAddress, e.Code, e.Sender, e.Recipient, e.Time > 1700000000000))
	}
	return nil
}

func session(s plugin.Session) string {
	note, ok := s.Note("trial.key")
	return fmt.Sprintf("%s %s %s %v tls=%v proxy=%v %q %s %v %v", s.Listener(), s.ClientAddress(), s.Helo(), s.ESMTP(), s.TLS() != nil,
		s.Forwarded() != nil, s.Load(), note, ok, s.ID() != "" && s.ClientPort() != 0 && s.User() == "")
}

func envelope(t plugin.Transaction) string {
	told := []string{"<" + t.Sender() + ">"}
	for _, p := range t.Parameters() {
		told = append(told, p.Keyword+"="+p.Value)
	}
	for _, r := range t.Recipients() {
		told = append(told, fmt.Sprintf("%d<%s>%d", r.Index, r.Address, len(r.Parameters)))
	}
	_ = t.Score("TRIAL", 1.5)
	_ = t.Score("OTHER", -0.5)
	for _, s := range t.Scores() {
		told = append(told, fmt.Sprintf("%s=%g", s.Symbol, s.Points))
	}
	return strings.Join(append(told, fmt.Sprint(errors.Is(t.Route("nowhere"), plugin.ErrDenied))), " ")
}

// content reads a long body in chunks of odd sizes, and again in one piece.
func content(m plugin.Message) string {
	all, _ := io.ReadAll(m.ReadBody())
	body := m.ReadBody()
	defer body.Close()
	offset, found := body.Find([]byte("needle"), 1<<20)
	digest := body.SHA256()
	size, chunk := 0, make([]byte, 4097)
	for {
		n, err := body.Read(chunk)
		if !bytes.Equal(chunk[:n], all[size:size+n]) {
			return "read something else"
		}
		size += n
		if err != nil {
			break
		}
	}
	whole := m.ReadAll()
	skipped := whole.Skip(uint64(len(m.HeaderSection())) + 2)
	rest, _ := io.ReadAll(whole)
	return fmt.Sprintf("%s %d %v %v %d %v %v", strings.Join(m.Header("subject"), "+"), size, found, offset, m.Size()-skipped,
		digest == sha256.Sum256(all), bytes.Equal(rest, all))
}

func parts(m plugin.Message) string {
	var told []string
	for _, p := range m.Parts() {
		text := "none"
		if r, ok := m.ReadPart(p.Index); ok {
			octets, _ := io.ReadAll(io.LimitReader(r, 8))
			text = fmt.Sprintf("%q", octets)
		}
		told = append(told, fmt.Sprintf("%d %s %s %s %v %s", p.Index, p.ContentType, p.FileName, p.Disposition, p.Encoded != nil, text))
	}
	return strings.Join(told, ", ")
}

func stored() string {
	store, err := plugin.OpenStore("counts")
	if err != nil {
		return err.Error()
	}
	defer store.Close()
	sum, _ := store.Add("sum", 5, time.Minute)
	sum, _ = store.Add("sum", -2, 0)
	version, _ := store.Put("key", []byte("a\x00b"), plugin.Put{IfAbsent: true})
	_, conflict := store.Put("key", nil, plugin.Put{Expect: version + 1})
	_, number := store.Add("key", 1, 0)
	entries, _ := store.Get("key", "nothing", "sum")
	_ = store.Delete("key", "sum")
	gone, _ := store.Get("key")
	_, denied := plugin.OpenStore("other")
	return fmt.Sprintf("%d %v %v %q %v %s %v %v", sum, errors.Is(conflict, plugin.ErrConflict), errors.Is(number, plugin.ErrNotACounter),
		entries[0].Value, entries[1] == nil, entries[2].Value, gone[0] == nil, errors.Is(denied, plugin.ErrDenied))
}

func asked(s plugin.Session, t plugin.Transaction, m plugin.Message) string {
	answers, err := plugin.Lookup(plugin.Query{Name: "mx.example", Kind: plugin.MX}, plugin.Query{Name: "no.example", Kind: plugin.A})
	if err != nil {
		return err.Error()
	}
	response := plugin.Send(plugin.Request{Method: "GET", URL: "https://denied.example/", Headers: []plugin.Header{{Name: "a", Value: "b"}}})[0]
	streamed := plugin.SendContent(plugin.Request{Method: "PUT", URL: "https://denied.example/"}, m.ReadBody())
	_, sender := plugin.AuthenticateSender(s, t)
	_, content := plugin.AuthenticateContent(s, t, m)
	return fmt.Sprintf("%s %v %v %v %v %v", answers[0].Records, errors.Is(answers[1].Err, plugin.ErrNoSuchName), errors.Is(response.Err, plugin.ErrDenied),
		errors.Is(streamed.Err, plugin.ErrDenied), errors.Is(sender, plugin.ErrDenied), errors.Is(content, plugin.ErrDenied))
}

func other() string {
	plugin.CountLabel("seen", 2, "kind", "trial")
	plugin.Observe("size", 0.5)
	slog.Debug("not to be seen")
	slog.With("a", 1).WithGroup("g").Info("", "b", "")
	a, b := plugin.Random(32), plugin.Random(32)
	return fmt.Sprint(len(a), !bytes.Equal(a, b), time.Since(plugin.Now()).Abs() < time.Minute)
}

// rewrite writes each octet of the body anew, in part by copying.
func rewrite(m plugin.Message) error {
	w, err := m.ReplaceBody()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "rewritten\n"); err != nil {
		return err
	}
	body := m.ReadBody()
	if _, err := w.Copy(body, 8); err != nil {
		return err
	}
	if _, err := io.Copy(w, body); err != nil {
		return err
	}
	return w.Close()
}

func init() { plugin.Register(&trial{}) }

func main() {}
