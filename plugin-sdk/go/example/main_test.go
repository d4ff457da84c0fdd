package main

import (
	"testing"

	"portcullis.example/plugin"
	"portcullis.example/plugin/plugintest"
)

const settings = `{"refuse": ["Closed.example"], "list": "list.example", "store": "counts"}`

func TestRecipientsAreRefusedByDomain(t *testing.T) {
	gate := plugintest.Configure(t, &Gatekeeper{}, settings)
	for address, want := range map[string]plugin.Verdict{
		"a@closed.EXAMPLE":   plugin.Reject(550, "5.7.1", "no mail for closed.example here"),
		"a@open.example":     plugin.Next,
		"a@x.closed.example": plugin.Next,
	} {
		verdict, err := gate.Rcpt(&plugintest.Session{}, &plugintest.Transaction{}, plugintest.Recipient(address))
		if verdict != want || err != nil {
			t.Errorf("%s: %v %v", address, verdict, err)
		}
	}
}

func TestListedClientsAreRefused(t *testing.T) {
	host := plugintest.NewHost(t)
	host.DNS["A 66.2.0.192.list.example"] = plugin.Answer{Records: []string{"127.0.0.2"}}
	host.DNS["A 67.2.0.192.list.example"] = plugin.Answer{Err: plugin.ErrTimedOut}
	gate := plugintest.Configure(t, &Gatekeeper{}, settings)
	for address, want := range map[string]plugin.Verdict{
		"192.0.2.66":  plugin.Reject(554, "5.7.1", "192.0.2.66 is listed by list.example"),
		"192.0.2.67":  plugin.Next,
		"192.0.2.68":  plugin.Next,
		"2001:db8::1": plugin.Next,
		"unix":        plugin.Next,
	} {
		verdict, err := gate.Connect(&plugintest.Session{Address: address})
		if verdict != want || err != nil {
			t.Errorf("%s: %v %v", address, verdict, err)
		}
	}
	if len(host.Logged) != 1 || host.Logged[0].Fields["name"] != "67.2.0.192.list.example" {
		t.Errorf("logged %v", host.Logged)
	}
}

func TestMessagesAreCountedAndStamped(t *testing.T) {
	host := plugintest.NewHost(t)
	gate := plugintest.Configure(t, &Gatekeeper{}, settings)
	stamp := func() string {
		message := plugintest.NewMessage("Subject: a\n\nb\n", plugintest.RewriteHeaders)
		if verdict, err := gate.Message(&plugintest.Session{}, &plugintest.Transaction{}, message); verdict != plugin.Next || err != nil {
			t.Errorf("%v %v", verdict, err)
		}
		return message.Text()
	}
	if text := stamp(); text != "X-Gatekeeper: checked\nSubject: a\n\nb\n" {
		t.Errorf("without a grant: %q", text)
	}
	host.Stores["counts"] = &plugintest.Store{}
	stamp()
	if text := stamp(); text != "X-Gatekeeper: message 2\nSubject: a\n\nb\n" {
		t.Errorf("%q", text)
	}
	if host.Counted["messages"] != 3 {
		t.Errorf("counted %v", host.Counted)
	}
}

func TestMistakesInSettingsAreFound(t *testing.T) {
	for settings, want := range map[string]string{
		`{}`:                           "refuse: required: a list of the domains that get no mail",
		`{"refuse": "a"}`:              "refuse: expected a list, not a string",
		`{"refuse": [1]}`:              "refuse: expected a text, not a number",
		`{"refuse": [], "stroe": "a"}`: `unknown field "stroe"`,
	} {
		if err := plugin.Configure(&Gatekeeper{}, settings); err == nil || err.Error() != want {
			t.Errorf("%s: %v", settings, err)
		}
	}
}
