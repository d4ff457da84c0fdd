package plugintest

import (
	"fmt"
	"slices"
	"time"

	"portcullis.example/plugin"
)

// Session is a client's connection. Set what the plugin looks at.
type Session struct {
	Address, Name, HeloName, UserName, MechanismName string
	Port                                             uint16
	Plain                                            bool // HELO instead of EHLO
	Encryption                                       *plugin.TLS
	ProxyTLS                                         bool
	Proxy                                            *plugin.Forwarded
	Saved                                            []byte
	Notes                                            map[string]string
	// Lapses is what the client did against the manners of the protocol.
	Lapses map[string]uint32
	// Delayed is how long the plugin wants the reply held back.
	Delayed time.Duration
}

// The methods tell the fields.
func (s *Session) ID() string       { return "session" }
func (s *Session) Listener() string { return "mx" }
func (s *Session) ClientAddress() string {
	if s.Address == "" {
		return "192.0.2.1"
	}
	return s.Address
}
func (s *Session) ClientPort() uint16           { return s.Port }
func (s *Session) ClientName() string           { return s.Name }
func (s *Session) Helo() string                 { return s.HeloName }
func (s *Session) ESMTP() bool                  { return !s.Plain }
func (s *Session) TLS() *plugin.TLS             { return s.Encryption }
func (s *Session) TLSAtProxy() bool             { return s.ProxyTLS }
func (s *Session) User() string                 { return s.UserName }
func (s *Session) Mechanism() string            { return s.MechanismName }
func (s *Session) Forwarded() *plugin.Forwarded { return s.Proxy }
func (s *Session) Load() []byte                 { return s.Saved }

// Save keeps it in Saved.
func (s *Session) Save(state []byte) error {
	if len(state) > 64<<10 {
		return plugin.ErrOutOfRange
	}
	s.Saved = slices.Clone(state)
	return nil
}

// Note tells what is in Notes.
func (s *Session) Note(name string) (string, bool) {
	value, ok := s.Notes[name]
	return value, ok
}

// Conduct tells what is in Lapses.
func (s *Session) Conduct() map[string]uint32 { return s.Lapses }

// Delay sets Delayed, unless that is longer.
func (s *Session) Delay(d time.Duration) error {
	if d < 0 || d > time.Minute {
		return plugin.ErrOutOfRange
	}
	s.Delayed = max(s.Delayed, d)
	return nil
}

// SetNote sets what is in Notes; the name of the plugin is "plugin".
func (s *Session) SetNote(key, value string) error {
	if len(s.Notes) >= 64 || len(value) > 1<<10 {
		return plugin.ErrOutOfRange
	}
	if s.Notes == nil {
		s.Notes = map[string]string{}
	}
	s.Notes["plugin."+key] = value
	return nil
}

// Recipient is one that was not yet accepted.
func Recipient(address string) plugin.Recipient { return plugin.Recipient{Address: address} }

// Transaction is an envelope. Edits are in Edits, in words, and show nowhere else, as in the gateway
// while the hook runs.
type Transaction struct {
	From      string
	Parameter []plugin.Parameter
	To        []string
	Grants    []Grant
	Edits     []string
	Symbols   []plugin.Score
	added     int
}

// The methods tell the fields.
func (t *Transaction) ID() string                     { return "session.1" }
func (t *Transaction) Sender() string                 { return t.From }
func (t *Transaction) Parameters() []plugin.Parameter { return t.Parameter }

// Recipients are To.
func (t *Transaction) Recipients() []plugin.Recipient {
	all := make([]plugin.Recipient, len(t.To))
	for i, address := range t.To {
		all[i] = plugin.Recipient{Index: uint32(i), Address: address}
	}
	return all
}

func (t *Transaction) edit(grant Grant, index uint32, format string, values ...any) error {
	if grant != "" && !slices.Contains(t.Grants, grant) {
		return plugin.ErrDenied
	}
	if int(index) > len(t.To)+t.added {
		return plugin.ErrOutOfRange
	}
	t.Edits = append(t.Edits, fmt.Sprintf(format, values...))
	return nil
}

// SetSender and the others need the grant in Grants.
func (t *Transaction) SetSender(address string) error {
	return t.edit(RewriteEnvelope, 0, "sender <%s>", address)
}

func (t *Transaction) AddRecipient(address string) (uint32, error) {
	err := t.edit(RewriteEnvelope, 0, "add <%s>", address)
	index := len(t.To) + t.added
	if err == nil {
		t.added++
	}
	return uint32(index), err
}

func (t *Transaction) SetRecipient(index uint32, address string) error {
	return t.edit(RewriteEnvelope, index, "set %d <%s>", index, address)
}

func (t *Transaction) DropRecipient(index uint32) error {
	return t.edit(RewriteEnvelope, index, "drop %d", index)
}

func (t *Transaction) RefuseRecipient(index uint32, answer plugin.Reply) error {
	return t.edit("", index, "refuse %d %s", index, answer)
}

func (t *Transaction) Route(upstream string) error {
	return t.edit(Route, 0, "route %s", upstream)
}

func (t *Transaction) RouteRecipient(index uint32, upstream string) error {
	return t.edit(Route, index, "route %d %s", index, upstream)
}

// Score is in Symbols.
func (t *Transaction) Score(symbol string, points float64) error {
	for i := range t.Symbols {
		if t.Symbols[i].Symbol == symbol {
			t.Symbols[i].Points = points
			return nil
		}
	}
	t.Symbols = append(t.Symbols, plugin.Score{Symbol: symbol, Points: points})
	return nil
}

// Scores are Symbols.
func (t *Transaction) Scores() []plugin.Score { return t.Symbols }
