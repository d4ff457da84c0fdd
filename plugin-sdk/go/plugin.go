// Package plugin is for plugins of Portcullis in Go.
//
// A plugin is a type with a method for each hook that it wants to be asked at, and no others:
//
//	type Closed struct {
//		Domains []string `json:"domains"`
//	}
//
//	func (c *Closed) Rcpt(s plugin.Session, t plugin.Transaction, r plugin.Recipient) (plugin.Verdict, error) {
//		if slices.Contains(c.Domains, r.Domain()) {
//			return plugin.Reject(550, "5.7.1", "closed for good"), nil
//		}
//		return plugin.Next, nil
//	}
//
//	func init() { plugin.Register(&Closed{}) }
//	func main() {}
//
// An error that a hook returns is a failure of the plugin, as a panic is: the gateway answers the
// client by the plugin's on_failure, and the text is in the log.
package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// ConnectHook is asked when a client has connected, before the greeting.
type ConnectHook interface {
	Connect(s Session) (Verdict, error)
}

// HeloHook is asked at HELO, EHLO and LHLO.
type HeloHook interface {
	Helo(s Session, name string) (Verdict, error)
}

// AuthHook is asked who a client is that gave credentials by AUTH.
type AuthHook interface {
	Auth(s Session, c Credentials) (Authentication, error)
}

// MailHook is asked at MAIL.
type MailHook interface {
	Mail(s Session, t Transaction) (Verdict, error)
}

// RcptHook is asked at each RCPT. The recipient is not yet among those of the transaction.
type RcptHook interface {
	Rcpt(s Session, t Transaction, r Recipient) (Verdict, error)
}

// DataHook is asked before the 354.
type DataHook interface {
	Data(s Session, t Transaction) (Verdict, error)
}

// HeadersHook is asked when the header section is complete, before the body has arrived.
type HeadersHook interface {
	Headers(s Session, t Transaction, m Message) (Verdict, error)
}

// MessageHook is asked when the message is complete, before it is forwarded.
type MessageHook interface {
	Message(s Session, t Transaction, m Message) (Verdict, error)
}

// OutcomeHook is told what became of sessions and mails, after the event.
type OutcomeHook interface {
	Outcome(events []Outcome) error
}

// Configurer checks its settings, once they have been read into it, and does what is to be done but
// once: what it leaves in memory is in every copy of the plugin. The operator reads the error.
type Configurer interface {
	Configure() error
}

// SettingsConfigurer reads its settings itself, as JSON.
type SettingsConfigurer interface {
	ConfigureJSON(settings []byte) error
}

// Skipper names hooks that it does not need with these settings, by the contract's names (`rcpt`).
// They cost nothing then.
type Skipper interface {
	Skip() []string
}

var (
	registered any
	mistake    error
)

// Register says which value is the plugin. Call it once, in an init function; the value is a
// pointer, as the settings are read into it.
func Register(plugin any) {
	switch {
	case registered != nil:
		mistake = errors.New("plugin.Register was called twice")
	case plugin == nil || reflect.TypeOf(plugin).Kind() != reflect.Pointer:
		mistake = fmt.Errorf("plugin.Register wants a pointer, not %T", plugin)
	default:
		registered = plugin
		_, mistake = hooks(plugin)
	}
}

// Configure reads settings into a plugin as the gateway does: JSON in, and the operator's error out.
// For tests; the hooks are methods that tests call.
func Configure(plugin any, settings string) error {
	if _, err := hooks(plugin); err != nil {
		return err
	}
	if c, ok := plugin.(SettingsConfigurer); ok {
		return c.ConfigureJSON([]byte(settings))
	}
	if err := decode(plugin, settings); err != nil {
		return err
	}
	if c, ok := plugin.(Configurer); ok {
		return c.Configure()
	}
	return nil
}

func decode(into any, settings string) error {
	if strings.TrimSpace(settings) == "" {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(settings)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil && decoder.More() {
		err = errors.New("more than one value")
	}
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("%s: expected %s, not a %s", kind.Field, inWords(kind.Type), kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("settings: expected %s, not a %s", inWords(kind.Type), kind.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "a section"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// hooks says which hooks a plugin does not have, or that it has one that cannot be called.
func hooks(plugin any) (missing []string, err error) {
	method := func(name string, has func(reflect.Type) bool, ok bool) {
		switch {
		case ok:
		case has(reflect.TypeOf(plugin)):
			err = fmt.Errorf("the method %s of %T does not have the parameters and results of plugin.%sHook", name, plugin, name)
		default:
			missing = append(missing, strings.ToLower(name))
		}
	}
	// The names are constants where they are looked up: so the linker knows what it may leave out.
	_, ok := plugin.(ConnectHook)
	method("Connect", func(t reflect.Type) bool { _, has := t.MethodByName("Connect"); return has }, ok)
	_, ok = plugin.(HeloHook)
	method("Helo", func(t reflect.Type) bool { _, has := t.MethodByName("Helo"); return has }, ok)
	_, ok = plugin.(AuthHook)
	method("Auth", func(t reflect.Type) bool { _, has := t.MethodByName("Auth"); return has }, ok)
	_, ok = plugin.(MailHook)
	method("Mail", func(t reflect.Type) bool { _, has := t.MethodByName("Mail"); return has }, ok)
	_, ok = plugin.(RcptHook)
	method("Rcpt", func(t reflect.Type) bool { _, has := t.MethodByName("Rcpt"); return has }, ok)
	_, ok = plugin.(DataHook)
	method("Data", func(t reflect.Type) bool { _, has := t.MethodByName("Data"); return has }, ok)
	_, ok = plugin.(HeadersHook)
	method("Headers", func(t reflect.Type) bool { _, has := t.MethodByName("Headers"); return has }, ok)
	_, ok = plugin.(MessageHook)
	method("Message", func(t reflect.Type) bool { _, has := t.MethodByName("Message"); return has }, ok)
	_, ok = plugin.(OutcomeHook)
	method("Outcome", func(t reflect.Type) bool { _, has := t.MethodByName("Outcome"); return has }, ok)
	if err == nil && len(missing) == 9 {
		err = fmt.Errorf("%T has no method that is a hook: Connect, Helo, Auth, Mail, Rcpt, Data, Headers, Message or Outcome", plugin)
	}
	return missing, err
}
