// A smaller judge of senders: one line of results for the reader, and a refusal of what an author's
// domain wants refused, but for domains whose mail is known to break on its way.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"portcullis.example/plugin"
)

// Judge is what the settings are read into.
type Judge struct {
	Name    string   `json:"name"`    // in Authentication-Results
	Lenient []string `json:"lenient"` // author domains that are let in nevertheless
}

// Configure checks the settings.
func (j *Judge) Configure() error {
	if j.Name == "" || strings.ContainsAny(j.Name, " ;()\"") {
		return errors.New("name: the host name of this gateway has to be given")
	}
	return nil
}

// Message judges and tells.
func (j *Judge) Message(s plugin.Session, t plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	if s.User() != "" {
		return plugin.Next, nil
	}
	sender, err := plugin.AuthenticateSender(s, t)
	if err != nil {
		return plugin.Next, err
	}
	content, err := plugin.AuthenticateContent(s, t, m)
	if err != nil {
		return plugin.Next, err
	}
	line := j.Name
	for _, f := range append(sender, content...) {
		line += fmt.Sprintf(";\r\n    %s=%s", f.Method, f.Result)
		for _, name := range []string{"header.d", "header.from"} {
			// What would need quotes does not become part of the field.
			if value := f.Property(name); value != "" && !strings.ContainsAny(value, " ;()\"=/\\<>@,:[]?") {
				line += " " + name + "=" + value
			}
		}
		domain := f.Property("header.from")
		if f.Property("policy.published") != "reject" || slices.Contains(j.Lenient, domain) {
			continue
		}
		switch f.Result {
		case "fail":
			slog.Info("not sent by its author", "domain", domain)
			return plugin.Reject(550, "5.7.1", "the author's domain wants this refused (DMARC)"), nil
		case "temperror":
			return plugin.Defer(451, "4.7.1", "name servers do not say yet who sent this"), nil
		}
	}
	old := m.Header("Authentication-Results")
	for nth := range old {
		if strings.Contains(strings.ToLower(old[nth]), strings.ToLower(j.Name)) {
			if err := m.DropHeader("Authentication-Results", nth); err != nil {
				return plugin.Next, err
			}
		}
	}
	return plugin.Next, m.AddHeader(plugin.AtTop, "Authentication-Results", line)
}

func init() { plugin.Register(&Judge{}) }

func main() {}
