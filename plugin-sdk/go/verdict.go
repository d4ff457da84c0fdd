package plugin

import (
	"fmt"
	"strings"
)

// A Reply is what the client hears: three digits, an enhanced status (RFC 3463) such as "5.7.1" or
// none, and text of printable ASCII. LF separates lines.
type Reply struct {
	Code   int
	Status string
	Text   string
}

// String is the reply as it is sent, in one line.
func (r Reply) String() string {
	return strings.Join(strings.Fields(fmt.Sprint(r.Code, " ", r.Status, " ", r.Text)), " ")
}

type decision uint8

const (
	next decision = iota
	accept
	reject
	deferral
	disconnect
	discard
	quarantine
)

// A Verdict is a plugin's answer. The zero value is Next. Verdicts can be compared.
type Verdict struct {
	decision decision
	reply    Reply
}

var (
	// Next is no opinion: the next plugin is asked.
	Next = Verdict{}
	// Accept is yes, and no later plugin is asked at this hook.
	Accept = Verdict{decision: accept}
)

// Reject refuses for good (5xx) what the hook decides on.
func Reject(code int, status, text string) Verdict {
	return Verdict{reject, Reply{code, status, text}}
}

// Defer refuses for now (4xx).
func Defer(code int, status, text string) Verdict {
	return Verdict{deferral, Reply{code, status, text}}
}

// Disconnect answers (4xx or 5xx) and closes the connection.
func Disconnect(code int, status, text string) Verdict {
	return Verdict{disconnect, Reply{code, status, text}}
}

// Discard says yes to the client and delivers nothing; the reason is for the log. From Mail on.
func Discard(reason string) Verdict {
	return Verdict{discard, Reply{Text: reason}}
}

// Quarantine says yes to the client and delivers to the listener's quarantine; the reason is for the
// log. At Headers and Message.
func Quarantine(reason string) Verdict {
	return Verdict{quarantine, Reply{Text: reason}}
}

// String is for logs and tests, for example "reject 550 5.7.1 closed".
func (v Verdict) String() string {
	name := [...]string{"next", "accept", "reject", "defer", "disconnect", "discard", "quarantine"}[v.decision]
	switch v.decision {
	case next, accept:
		return name
	case discard, quarantine:
		return name + " " + v.reply.Text
	}
	return name + " " + v.reply.String()
}

// Credentials are what a client gave by AUTH.
type Credentials struct {
	// Mechanism is PLAIN, for example.
	Mechanism string
	// User is whose secret it is.
	User string
	// Authorization is as whom the client wants to act; empty if it named nobody.
	Authorization string
	// Secret is the password or token: with the grant auth-secret, and with mechanisms that reveal
	// it. Revealed tells an empty one from none.
	Secret   string
	Revealed bool
}

// Authentication is the answer at AuthHook. The zero value is "not mine to tell".
type Authentication struct {
	decision authentication
	identity string
	reply    Reply
}

type authentication uint8

const (
	unknown authentication = iota
	authenticated
	refused
	unavailable
)

// NotMine lets the next plugin be asked.
var NotMine = Authentication{}

// Authenticated says who the client is: not empty, at most 255 octets.
func Authenticated(identity string) Authentication {
	return Authentication{decision: authenticated, identity: identity}
}

// Refused says that the client is not who it says to be (5xx; usually 535 5.7.8).
func Refused(code int, status, text string) Authentication {
	return Authentication{decision: refused, reply: Reply{code, status, text}}
}

// Unavailable says that nobody can tell now (4xx; usually 454 4.7.0).
func Unavailable(code int, status, text string) Authentication {
	return Authentication{decision: unavailable, reply: Reply{code, status, text}}
}

// status takes an enhanced status apart.
func (r Reply) status() (class uint8, subject, detail uint16, ok bool) {
	if r.Status == "" {
		return 0, 0, 0, false
	}
	var rest string
	n, _ := fmt.Sscanf(r.Status+" end", "%d.%d.%d %s", &class, &subject, &detail, &rest)
	if n != 4 || rest != "end" {
		panic(fmt.Sprintf("%q is not an enhanced status such as \"5.7.1\"", r.Status))
	}
	return class, subject, detail, true
}
