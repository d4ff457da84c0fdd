package main

import (
	"slices"
	"strings"

	"portcullis.example/plugin"
)

// Closed refuses mail for domains that take none.
type Closed struct {
	Domains []string `json:"domains"`
}

// Configure is called once, when the settings have been read into the fields.
func (c *Closed) Configure() error {
	for i, domain := range c.Domains {
		c.Domains[i] = strings.ToLower(domain)
	}
	return nil
}

// Rcpt is asked about each recipient.
func (c *Closed) Rcpt(_ plugin.Session, _ plugin.Transaction, r plugin.Recipient) (plugin.Verdict, error) {
	if slices.Contains(c.Domains, r.Domain()) {
		return plugin.Reject(550, "5.7.1", "closed for good"), nil
	}
	return plugin.Next, nil
}

func init() { plugin.Register(&Closed{}) }

func main() {}
