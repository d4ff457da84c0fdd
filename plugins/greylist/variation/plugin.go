// A greylist for a small site: what counts is whether a network has ever come again, whoever it
// writes for. Once it has, it is let in for a month.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"portcullis.example/plugin"
)

// Greylist has networks come twice.
type Greylist struct {
	Store string `json:"store"`
	Delay int    `json:"delay"` // seconds
}

// Configure checks the settings.
func (g *Greylist) Configure() error {
	if g.Store == "" || g.Delay <= 0 {
		return errors.New("store and delay (in seconds) have to be given")
	}
	return nil
}

// Rcpt defers the first mail of a network.
func (g *Greylist) Rcpt(s plugin.Session, _ plugin.Transaction, _ plugin.Recipient) (plugin.Verdict, error) {
	client, err := netip.ParseAddr(s.ClientAddress())
	if err != nil || s.User() != "" {
		return plugin.Next, nil
	}
	left, err := g.left(network(client))
	switch {
	case errors.Is(err, plugin.ErrUnavailable):
		slog.Debug("the store does not say", "error", err)
		return plugin.Next, nil
	case err != nil || left <= 0:
		return plugin.Next, err
	}
	plugin.Count("deferred", 1)
	return plugin.Defer(451, "4.7.1", fmt.Sprintf("come again in %d seconds", left)), nil
}

// left is for how many seconds the network has to wait.
func (g *Greylist) left(key string) (int64, error) {
	store, err := plugin.OpenStore(g.Store)
	if err != nil {
		return 0, err
	}
	entries, err := store.Get(key)
	if err != nil {
		return 0, err
	}
	now := plugin.Now().Unix()
	if len(entries) == 1 && entries[0] != nil {
		first, err := strconv.ParseInt(string(entries[0].Value), 10, 64)
		if err == nil && first <= now {
			if left := first + int64(g.Delay) - now; left > 0 {
				return left, nil
			}
			// Written anew, so that the month counts from the last mail.
			_, err = store.Put(key, entries[0].Value, plugin.Put{TTL: 30 * 24 * time.Hour})
			return 0, err
		}
	}
	value := strconv.AppendInt(nil, now, 10)
	_, err = store.Put(key, value, plugin.Put{TTL: 24 * time.Hour})
	return int64(g.Delay), err
}

func network(client netip.Addr) string {
	client = client.Unmap()
	bits := 64
	if client.Is4() {
		bits = 24
	}
	prefix, _ := client.Prefix(bits)
	return prefix.String()
}

func init() { plugin.Register(&Greylist{}) }

func main() {}
