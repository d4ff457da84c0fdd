// Bounces only for those who have sent something of late: what goes out is remembered for a week, and
// mail without a sender to anybody else is refused. Needs no tags, and a store that all gateways share.
package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"portcullis.example/plugin"
)

// Bounces remembers who sends.
type Bounces struct {
	Store   string   `json:"store"`
	Domains []string `json:"domains"` // ours
}

const week = 7 * 24 * time.Hour

// Configure checks the settings.
func (b *Bounces) Configure() error {
	if b.Store == "" || len(b.Domains) == 0 {
		return errors.New("store and domains have to be given")
	}
	for i, domain := range b.Domains {
		b.Domains[i] = strings.ToLower(domain)
	}
	return nil
}

// Data remembers who sends something: those who have logged in.
func (b *Bounces) Data(s plugin.Session, t plugin.Transaction) (plugin.Verdict, error) {
	sender := t.Sender()
	if s.User() == "" || !b.ours(sender) {
		return plugin.Next, nil
	}
	store, err := plugin.OpenStore(b.Store)
	if err != nil {
		return plugin.Next, err
	}
	_, err = store.Put(strings.ToLower(sender), []byte("1"), plugin.Put{TTL: week})
	return plugin.Next, unlessAway(err)
}

// Rcpt refuses what cannot be a bounce.
func (b *Bounces) Rcpt(_ plugin.Session, t plugin.Transaction, r plugin.Recipient) (plugin.Verdict, error) {
	if t.Sender() != "" || !b.ours(r.Address) {
		return plugin.Next, nil
	}
	store, err := plugin.OpenStore(b.Store)
	if err != nil {
		return plugin.Next, err
	}
	entries, err := store.Get(strings.ToLower(r.Address))
	if err != nil || len(entries) != 1 || entries[0] != nil {
		return plugin.Next, unlessAway(err)
	}
	return plugin.Reject(550, "5.7.1", "this address has sent nothing of late"), nil
}

func (b *Bounces) ours(address string) bool {
	_, domain, _ := strings.Cut(strings.ToLower(address), "@")
	return slices.Contains(b.Domains, domain)
}

// unlessAway has mail pass while the store is away.
func unlessAway(err error) error {
	if errors.Is(err, plugin.ErrUnavailable) {
		slog.Debug("the store does not say", "error", err)
		return nil
	}
	return err
}

func init() { plugin.Register(&Bounces{}) }

func main() {}
