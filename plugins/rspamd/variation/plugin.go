// Asks one rspamd, obeys it, and adds the header fields that it wants. While it is away, mail waits.
package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"portcullis.example/plugin"
)

// Scanner sends messages to rspamd.
type Scanner struct {
	URL     string `json:"url"`
	MaxSize uint64 `json:"max_size"`
}

type answer struct {
	Action   string            `json:"action"`
	Score    *float64          `json:"score"`
	Messages map[string]string `json:"messages"`
	Milter   struct {
		AddHeaders map[string]json.RawMessage `json:"add_headers"`
	} `json:"milter"`
}

// Configure checks the settings.
func (s *Scanner) Configure() error {
	if s.URL == "" || s.MaxSize == 0 {
		return errors.New("url and max_size have to be given")
	}
	return nil
}

// Message asks about the complete message, which goes from the gateway to rspamd.
func (s *Scanner) Message(session plugin.Session, t plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	if session.User() != "" || m.Size() > s.MaxSize {
		return plugin.Next, nil
	}
	headers := []plugin.Header{{"IP", session.ClientAddress()}, {"Helo", session.Helo()}, {"From", t.Sender()}}
	for _, recipient := range t.Recipients() {
		headers = append(headers, plugin.Header{"Rcpt", recipient.Address})
	}
	request := plugin.Request{Method: "POST", URL: s.URL + "/checkv2", Headers: headers, Timeout: 4 * time.Second}
	response := plugin.SendContent(request, m.ReadAll())
	var said answer
	if response.Err != nil || response.Status != 200 || json.Unmarshal(response.Body, &said) != nil || said.Score == nil {
		slog.Warn("rspamd does not answer", "error", response.Err, "status", response.Status)
		return plugin.Defer(451, "4.3.0", "cannot be checked now, try again later"), nil
	}
	switch said.Action {
	case "reject":
		return plugin.Reject(550, "5.7.1", words(said, "message refused as spam")), nil
	case "soft reject":
		return plugin.Defer(451, "4.7.1", words(said, "try again later")), nil
	}
	for name, raw := range said.Milter.AddHeaders {
		var value string
		if json.Unmarshal(raw, &value) != nil {
			continue // {value, order} and lists of it
		}
		if err := m.AddHeader(plugin.AtEnd, name, oneLine(value)); err != nil {
			return plugin.Next, err
		}
	}
	return plugin.Next, t.Score("RSPAMD", min(max(*said.Score/1.5, -3), 15))
}

func words(said answer, usual string) string {
	if text := oneLine(said.Messages["smtp_message"]); text != "" {
		return text
	}
	return usual
}

// oneLine keeps what may stand in a reply.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, text))
}

func init() { plugin.Register(&Scanner{}) }

func main() {}
