package main

import (
	"testing"

	"portcullis.example/plugin"
	"portcullis.example/plugin/plugintest"
)

func TestClosedDomainsAreRefused(t *testing.T) {
	closed := plugintest.Configure(t, &Closed{}, `{"domains": ["closed.example"]}`)
	for address, want := range map[string]plugin.Verdict{
		"a@Closed.example": plugin.Reject(550, "5.7.1", "closed for good"),
		"a@open.example":   plugin.Next,
	} {
		verdict, err := closed.Rcpt(&plugintest.Session{}, &plugintest.Transaction{}, plugintest.Recipient(address))
		if verdict != want || err != nil {
			t.Errorf("%s: %v %v", address, verdict, err)
		}
	}
}

func TestMisspeltSettingsAreFound(t *testing.T) {
	err := plugin.Configure(&Closed{}, `{"domain": []}`)
	if err == nil || err.Error() != `unknown field "domain"` {
		t.Error(err)
	}
}
