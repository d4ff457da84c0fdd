// The other protocol that filters for Postfix have: a policy service (check_policy_service; postgrey,
// policyd-spf, one of your own), asked about each recipient.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"portcullis.example/plugin"
)

// Policy asks a policy service.
type Policy struct {
	Server string `json:"server"`
}

// Configure checks the settings.
func (p *Policy) Configure() error {
	if !strings.Contains(p.Server, ":") {
		return errors.New("server has to be host:port or unix:/path")
	}
	return nil
}

// Rcpt asks about one recipient. Who cannot be asked stops nobody.
func (p *Policy) Rcpt(s plugin.Session, t plugin.Transaction, r plugin.Recipient) (plugin.Verdict, error) {
	name := s.ClientName()
	if name == "" {
		name = "unknown"
	}
	action, err := p.ask(fmt.Sprintf("request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"+
		"client_address=%s\nclient_name=%s\nhelo_name=%s\nsender=%s\nrecipient=%s\ninstance=%s\nsasl_username=%s\n\n",
		s.ClientAddress(), name, s.Helo(), t.Sender(), r.Address, t.ID(), s.User()))
	if err != nil {
		slog.Warn("the policy service cannot be asked", "error", err)
		return plugin.Next, nil
	}
	word, text, _ := strings.Cut(action, " ")
	switch strings.ToUpper(word) {
	case "REJECT":
		return plugin.Reject(554, "5.7.1", or(text, "access denied")), nil
	case "DEFER", "DEFER_IF_PERMIT":
		return plugin.Defer(450, "4.7.1", or(text, "try again later")), nil
	}
	// DUNNO, OK, PREPEND and the like.
	return plugin.Next, nil
}

// ask sends one request, and reads up to the empty line.
func (p *Policy) ask(request string) (string, error) {
	service, err := plugin.OpenStream(p.Server, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer service.Close()
	if _, err := io.WriteString(service, request); err != nil {
		return "", err
	}
	lines := bufio.NewScanner(io.LimitReader(service, 4096))
	for lines.Scan() {
		if action, ok := strings.CutPrefix(lines.Text(), "action="); ok {
			return action, nil
		}
	}
	return "", errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func init() { plugin.Register(&Policy{}) }

func main() {}
