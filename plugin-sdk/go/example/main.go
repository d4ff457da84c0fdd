// Gatekeeper is the example that is the same in all languages: it refuses mail by the recipient's
// domain and clients that a DNS list has, counts messages in a store and stamps them.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"portcullis.example/plugin"
)

// Gatekeeper is what the settings are read into.
type Gatekeeper struct {
	Refuse []string `json:"refuse"`
	List   string   `json:"list"`
	Store  string   `json:"store"`
	Header string   `json:"header"`
}

// Configure checks the settings.
func (g *Gatekeeper) Configure() error {
	if g.Refuse == nil {
		return errors.New("refuse: required: a list of the domains that get no mail")
	}
	for i, domain := range g.Refuse {
		g.Refuse[i] = strings.ToLower(domain)
	}
	if g.Header == "" {
		g.Header = "X-Gatekeeper"
	}
	return nil
}

// Skip leaves out what these settings do not need.
func (g *Gatekeeper) Skip() []string {
	if g.List == "" {
		return []string{"connect"}
	}
	return nil
}

// Connect refuses clients that the list has.
func (g *Gatekeeper) Connect(s plugin.Session) (plugin.Verdict, error) {
	client := plugin.ClientIP(s)
	if g.List == "" || !client.Is4() {
		return plugin.Next, nil
	}
	name := plugin.ReverseName(client, g.List)
	answer := plugin.LookupOne(name, plugin.A)
	switch {
	case answer.Err == nil:
		return plugin.Reject(554, "5.7.1", fmt.Sprintf("%s is listed by %s", client, g.List)), nil
	case errors.Is(answer.Err, plugin.ErrNoSuchName), errors.Is(answer.Err, plugin.ErrNoData):
	default:
		slog.Warn("the list did not answer", "name", name, "error", answer.Err)
	}
	return plugin.Next, nil
}

// Rcpt refuses recipients by their domain.
func (g *Gatekeeper) Rcpt(_ plugin.Session, _ plugin.Transaction, r plugin.Recipient) (plugin.Verdict, error) {
	if domain := r.Domain(); slices.Contains(g.Refuse, domain) {
		return plugin.Reject(550, "5.7.1", "no mail for "+domain+" here"), nil
	}
	return plugin.Next, nil
}

// Message counts and stamps.
func (g *Gatekeeper) Message(_ plugin.Session, _ plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	plugin.Count("messages", 1)
	return plugin.Next, m.AddHeader(plugin.AtTop, g.Header, g.stamp())
}

func (g *Gatekeeper) stamp() string {
	if g.Store == "" {
		return "checked"
	}
	store, err := plugin.OpenStore(g.Store)
	if err != nil {
		return "checked"
	}
	n, err := store.Add("messages", 1, 0)
	if err != nil {
		return "checked"
	}
	return fmt.Sprint("message ", n)
}

func init() { plugin.Register(&Gatekeeper{}) }

func main() {}
