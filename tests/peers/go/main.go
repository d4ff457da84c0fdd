// Clients of Go's standard library and of go-smtp, which send one message each.
//
//	clients net-smtp|go-smtp [flags] HOST:PORT < message
//
// Whatever the server refuses ends the program with status 1 and the refusal on standard error.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	netsmtp "net/smtp"
	"os"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

type options struct {
	address, from, auth, tls, user, password string
	to                                       []string
	utf8, dsn, requireTLS, lmtp              bool
}

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("usage: clients net-smtp|go-smtp [flags] HOST:PORT"))
	}
	message, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(err)
	}
	o := parse(os.Args[2:])
	switch os.Args[1] {
	case "net-smtp":
		err = sendByStandardLibrary(o, message)
	case "go-smtp":
		err = sendByGoSMTP(o, message)
	default:
		err = fmt.Errorf("no such client: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func parse(arguments []string) options {
	var o options
	var to string
	flags := flag.NewFlagSet("clients", flag.ExitOnError)
	flags.StringVar(&o.from, "from", "a@example.org", "reverse-path")
	flags.StringVar(&to, "to", "b@example.com", "forward-paths, separated by commas")
	flags.StringVar(&o.tls, "tls", "none", "none, starttls or implicit")
	flags.StringVar(&o.auth, "auth", "", "plain, cram-md5, login or oauthbearer")
	flags.StringVar(&o.user, "user", "username", "who authenticates")
	flags.StringVar(&o.password, "password", "password", "and with what")
	flags.BoolVar(&o.utf8, "utf8", false, "SMTPUTF8")
	flags.BoolVar(&o.dsn, "dsn", false, "RET, ENVID, NOTIFY and ORCPT")
	flags.BoolVar(&o.requireTLS, "require-tls", false, "REQUIRETLS")
	flags.BoolVar(&o.lmtp, "lmtp", false, "LMTP")
	flags.Parse(arguments)
	o.to = strings.Split(to, ",")
	o.address = flags.Arg(0)
	return o
}

func sendByStandardLibrary(o options, message []byte) error {
	client, err := dialStandard(o)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Hello("client.example"); err != nil {
		return err
	}
	if o.tls == "starttls" {
		if err := client.StartTLS(insecure()); err != nil {
			return err
		}
	}
	switch o.auth {
	case "":
	case "plain":
		err = client.Auth(netsmtp.PlainAuth("", o.user, o.password, "127.0.0.1"))
	case "cram-md5":
		err = client.Auth(netsmtp.CRAMMD5Auth(o.user, o.password))
	default:
		err = fmt.Errorf("net/smtp has no %s", o.auth)
	}
	if err != nil {
		return err
	}
	if err := client.Noop(); err != nil {
		return err
	}
	if err := client.Mail(o.from); err != nil {
		return err
	}
	for _, to := range o.to {
		if err := client.Rcpt(to); err != nil {
			return err
		}
	}
	writer, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := writer.Write(message); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return client.Quit()
}

func dialStandard(o options) (*netsmtp.Client, error) {
	if o.tls != "implicit" {
		return netsmtp.Dial(o.address)
	}
	connection, err := tls.Dial("tcp", o.address, insecure())
	if err != nil {
		return nil, err
	}
	return netsmtp.NewClient(connection, "127.0.0.1")
}

func sendByGoSMTP(o options, message []byte) error {
	client, err := dialGoSMTP(o)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Hello("client.example"); err != nil {
		return err
	}
	if mechanism := mechanism(o); mechanism != nil {
		if err := client.Auth(mechanism); err != nil {
			return err
		}
	}
	mail := &smtp.MailOptions{Size: int64(len(message)), Body: smtp.Body8BitMIME, UTF8: o.utf8}
	mail.RequireTLS = o.requireTLS
	rcpt := &smtp.RcptOptions{}
	if o.dsn {
		mail.Return, mail.EnvelopeID = smtp.DSNReturnHeaders, "order+42 =x"
		rcpt.Notify = []smtp.DSNNotify{smtp.DSNNotifySuccess, smtp.DSNNotifyFailure}
		rcpt.OriginalRecipientType = smtp.DSNAddressTypeRFC822
		rcpt.OriginalRecipient = "first+tag@example.com"
	}
	if err := client.Mail(o.from, mail); err != nil {
		return err
	}
	for _, to := range o.to {
		if err := client.Rcpt(to, rcpt); err != nil {
			return err
		}
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(message); err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	return client.Quit()
}

func dialGoSMTP(o options) (*smtp.Client, error) {
	switch {
	case o.lmtp:
		connection, err := net.Dial("tcp", o.address)
		if err != nil {
			return nil, err
		}
		return smtp.NewClientLMTP(connection), nil
	case o.tls == "starttls":
		return smtp.DialStartTLS(o.address, insecure())
	case o.tls == "implicit":
		return smtp.DialTLS(o.address, insecure())
	default:
		return smtp.Dial(o.address)
	}
}

func mechanism(o options) sasl.Client {
	switch o.auth {
	case "plain":
		return sasl.NewPlainClient("", o.user, o.password)
	case "login":
		return sasl.NewLoginClient(o.user, o.password)
	case "oauthbearer":
		return sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: o.user, Token: o.password})
	default:
		return nil
	}
}

// The tests' certificates are made for them; who they are is not the point here.
func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
