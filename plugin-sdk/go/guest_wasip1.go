package plugin

import (
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"strings"
	"syscall"

	"portcullis.example/plugin/internal/wit/export_smtp_filter_lifecycle"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_auth"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_connect"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_data"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_headers"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_helo"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_mail"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_message"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_outcome"
	"portcullis.example/plugin/internal/wit/export_smtp_filter_on_rcpt"
	wit "portcullis.example/plugin/internal/wit/runtime"
	"portcullis.example/plugin/internal/wit/smtp_filter_lifecycle"
	"portcullis.example/plugin/internal/wit/smtp_filter_on_auth"
	"portcullis.example/plugin/internal/wit/smtp_filter_on_outcome"
	"portcullis.example/plugin/internal/wit/smtp_filter_types"
	"portcullis.example/plugin/internal/wit/types"

	// The exports themselves.
	_ "portcullis.example/plugin/internal/wit/wit_exports"
)

func init() {
	host = gateway{}
	slog.SetDefault(slog.New(LogHandler()))
	export_smtp_filter_lifecycle.Configure = configure
	export_smtp_filter_on_connect.Handle = func(s *smtp_filter_types.Session) smtp_filter_types.Verdict {
		defer s.Drop()
		return ask("connect", func() (Verdict, error) { return registered.(ConnectHook).Connect(session{s}) })
	}
	export_smtp_filter_on_helo.Handle = func(s *smtp_filter_types.Session, name string) smtp_filter_types.Verdict {
		defer s.Drop()
		return ask("helo", func() (Verdict, error) { return registered.(HeloHook).Helo(session{s}, name) })
	}
	export_smtp_filter_on_auth.Handle = authenticate
	export_smtp_filter_on_mail.Handle = func(s *smtp_filter_types.Session, t *smtp_filter_types.Transaction) smtp_filter_types.Verdict {
		defer s.Drop()
		defer t.Drop()
		return ask("mail", func() (Verdict, error) { return registered.(MailHook).Mail(session{s}, transaction{t}) })
	}
	export_smtp_filter_on_rcpt.Handle = func(s *smtp_filter_types.Session, t *smtp_filter_types.Transaction, r smtp_filter_types.Recipient) smtp_filter_types.Verdict {
		defer s.Drop()
		defer t.Drop()
		return ask("rcpt", func() (Verdict, error) {
			return registered.(RcptHook).Rcpt(session{s}, transaction{t}, recipient(r))
		})
	}
	export_smtp_filter_on_data.Handle = func(s *smtp_filter_types.Session, t *smtp_filter_types.Transaction) smtp_filter_types.Verdict {
		defer s.Drop()
		defer t.Drop()
		return ask("data", func() (Verdict, error) { return registered.(DataHook).Data(session{s}, transaction{t}) })
	}
	export_smtp_filter_on_headers.Handle = func(s *smtp_filter_types.Session, t *smtp_filter_types.Transaction, m *smtp_filter_types.Message) smtp_filter_types.Verdict {
		defer s.Drop()
		defer t.Drop()
		defer m.Drop()
		return ask("headers", func() (Verdict, error) {
			return registered.(HeadersHook).Headers(session{s}, transaction{t}, message{m})
		})
	}
	export_smtp_filter_on_message.Handle = func(s *smtp_filter_types.Session, t *smtp_filter_types.Transaction, m *smtp_filter_types.Message) smtp_filter_types.Verdict {
		defer s.Drop()
		defer t.Drop()
		defer m.Drop()
		return ask("message", func() (Verdict, error) {
			return registered.(MessageHook).Message(session{s}, transaction{t}, message{m})
		})
	}
	export_smtp_filter_on_outcome.Handle = tell
}

type subscription = wit_types.Result[smtp_filter_lifecycle.Subscription, string]

func configure(settings string) subscription {
	defer report("configure")
	refuse := wit_types.Err[smtp_filter_lifecycle.Subscription, string]
	if registered == nil && mistake == nil {
		return refuse("the program has no plugin: plugin.Register was not called in an init function")
	}
	if mistake != nil {
		return refuse(mistake.Error())
	}
	if err := Configure(registered, settings); err != nil {
		return refuse(err.Error())
	}
	skip, _ := hooks(registered)
	if s, ok := registered.(Skipper); ok {
		skip = append(skip, s.Skip()...)
	}
	// Copies live too short to collect anything, if they start with nothing to be collected.
	runtime.GC()
	// Go's runtime has opened the standard streams. A plugin that holds a handle cannot be frozen.
	for stream := range 3 {
		_ = syscall.Close(stream)
	}
	return wit_types.Ok[smtp_filter_lifecycle.Subscription, string](smtp_filter_lifecycle.Subscription{Skip: skip})
}

func ask(hook string, question func() (Verdict, error)) smtp_filter_types.Verdict {
	defer report(hook)
	wit.Unpin()
	verdict, err := question()
	if err != nil {
		fail(hook, err)
	}
	switch verdict.decision {
	case accept:
		return smtp_filter_types.MakeVerdictAccept()
	case reject:
		return smtp_filter_types.MakeVerdictReject(reply(verdict.reply))
	case deferral:
		return smtp_filter_types.MakeVerdictDefer(reply(verdict.reply))
	case disconnect:
		return smtp_filter_types.MakeVerdictDisconnect(reply(verdict.reply))
	case discard:
		return smtp_filter_types.MakeVerdictDiscard(verdict.reply.Text)
	case quarantine:
		return smtp_filter_types.MakeVerdictQuarantine(verdict.reply.Text)
	}
	return smtp_filter_types.MakeVerdictNext()
}

func authenticate(s *smtp_filter_on_auth.Session, c smtp_filter_on_auth.Credentials) smtp_filter_on_auth.Answer {
	defer s.Drop()
	defer report("auth")
	wit.Unpin()
	answer, err := registered.(AuthHook).Auth(session{s}, Credentials{
		Mechanism:     c.Mechanism,
		User:          c.User,
		Authorization: c.Authorization.SomeOr(""),
		Secret:        c.Secret.SomeOr(""),
		Revealed:      c.Secret.IsSome(),
	})
	if err != nil {
		fail("auth", err)
	}
	switch answer.decision {
	case authenticated:
		return smtp_filter_on_auth.MakeAnswerAuthenticated(answer.identity)
	case refused:
		return smtp_filter_on_auth.MakeAnswerRefused(reply(answer.reply))
	case unavailable:
		return smtp_filter_on_auth.MakeAnswerUnavailable(reply(answer.reply))
	}
	return smtp_filter_on_auth.MakeAnswerNext()
}

func tell(events []smtp_filter_on_outcome.Outcome) {
	defer report("outcome")
	wit.Unpin()
	outcomes := make([]Outcome, len(events))
	for i, e := range events {
		outcomes[i] = Outcome{
			Session:       e.Session,
			Transaction:   e.Transaction.SomeOr(""),
			Listener:      e.Listener,
			ClientAddress: e.ClientAddress,
			Stage:         e.Stage,
			Sender:        e.Sender.SomeOr(""),
			Recipient:     e.Recipient.SomeOr(""),
			By:            e.By.SomeOr(""),
			Code:          int(e.Code),
			Text:          e.Text,
			Time:          e.Time,
		}
	}
	if err := registered.(OutcomeHook).Outcome(outcomes); err != nil {
		fail("outcome", err)
	}
}

func reply(r Reply) smtp_filter_types.Reply {
	status := wit_types.None[wit_types.Tuple3[uint8, uint16, uint16]]()
	if class, subject, detail, ok := r.status(); ok {
		status = wit_types.Some(wit_types.Tuple3[uint8, uint16, uint16]{F0: class, F1: subject, F2: detail})
	}
	if r.Code < 0 || r.Code > 999 {
		panic(fmt.Sprintf("%d is not the code of a reply", r.Code))
	}
	return smtp_filter_types.Reply{Code: uint16(r.Code), Status: status, Text: r.Text}
}

// trap ends the copy of the plugin; the gateway sees the call fail.
func trap()

func fail(hook string, err error) {
	host.Log(slog.LevelError, fmt.Sprintf("%s failed: %v", hook, err), nil)
	trap()
}

// report logs a panic in words, and where it was. Deferred, so that the stack is still there.
func report(hook string) {
	reason := recover()
	if reason == nil {
		return
	}
	var where []string
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if f := frame.Function; f != "" && !strings.HasPrefix(f, "runtime.") && !strings.HasPrefix(f, "portcullis.example/plugin.") && !strings.HasPrefix(f, "portcullis.example/plugin/internal/") && !strings.HasPrefix(f, "smtp:filter/") {
			where = append(where, fmt.Sprintf("%s (%s:%d)", f, path.Base(frame.File), frame.Line))
		}
		if !more {
			break
		}
	}
	host.Log(slog.LevelError, fmt.Sprintf("panic in %s: %v", hook, reason), [][2]string{{"at", strings.Join(where, " < ")}})
	trap()
}
