// Only attachments go to clamd, and a part in which it finds something is enough to refuse the message:
// less work for it where most mail is text. What it cannot tell is deferred.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"portcullis.example/plugin"
)

// Scanner has attachments scanned.
type Scanner struct {
	Server string `json:"server"`
}

// Configure checks the settings.
func (s *Scanner) Configure() error {
	if !strings.Contains(s.Server, ":") {
		return errors.New("server has to be host:port or unix:/path")
	}
	return nil
}

// Message has each attachment scanned.
func (s *Scanner) Message(_ plugin.Session, _ plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	for _, part := range m.Parts() {
		content, ok := m.ReadPart(part.Index)
		if !ok || part.FileName == "" {
			continue
		}
		answer, err := s.scan(content, uint32(part.Size))
		name, found := strings.CutSuffix(strings.TrimPrefix(answer, "stream: "), " FOUND")
		switch {
		case err != nil || !found && answer != "stream: OK":
			slog.Warn("not scanned", "file", part.FileName, "answer", answer, "error", err)
			return plugin.Defer(451, "4.7.1", "attachments cannot be scanned now"), nil
		case found:
			slog.Info("malware", "file", part.FileName, "signature", name)
			return plugin.Reject(550, "5.7.1", "an attachment holds malware"), nil
		}
	}
	return plugin.Next, nil
}

// scan sends one INSTREAM of one chunk; the content does not pass through the plugin.
func (s *Scanner) scan(content plugin.Reader, size uint32) (string, error) {
	clamd, err := plugin.OpenStream(s.Server, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer clamd.Close()
	if _, err := clamd.Write(binary.BigEndian.AppendUint32([]byte("zINSTREAM\x00"), size)); err != nil {
		return "", err
	}
	if sent, err := clamd.WriteContent(content, uint64(size)); err != nil || sent != uint64(size) {
		return "", errors.Join(err, io.ErrUnexpectedEOF)
	}
	if _, err := clamd.Write(make([]byte, 4)); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(clamd, 1024))
	return string(bytes.TrimRight(answer, "\n\x00")), err
}

func init() { plugin.Register(&Scanner{}) }

func main() {}
