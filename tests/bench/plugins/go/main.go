// Cost is what gateway/benches/cost.rs measures: the same as ../rust.
package main

import (
	"bytes"
	"io"
	"strings"

	"portcullis.example/plugin"
)

// Cost is what the settings are read into.
type Cost struct {
	Look *bool `json:"look"`
	Scan bool  `json:"scan"`
}

// Skip leaves out what these settings do not need.
func (c *Cost) Skip() []string {
	if c.Look != nil && !*c.Look {
		return []string{"headers"}
	}
	return nil
}

// Rcpt does nothing.
func (c *Cost) Rcpt(plugin.Session, plugin.Transaction, plugin.Recipient) (plugin.Verdict, error) {
	return plugin.Next, nil
}

// Headers looks at one header.
func (c *Cost) Headers(_ plugin.Session, _ plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	for _, subject := range m.Header("Subject") {
		if strings.Contains(subject, "cheap watches") {
			return plugin.Reject(550, "5.7.1", "no watches"), nil
		}
	}
	return plugin.Next, nil
}

// Message looks at each octet of the body.
func (c *Cost) Message(_ plugin.Session, _ plugin.Transaction, m plugin.Message) (plugin.Verdict, error) {
	if !c.Scan {
		return plugin.Next, nil
	}
	count, err := exclamations(m.ReadBody())
	if err == nil && count > 1000 {
		return plugin.Reject(550, "5.7.1", "no shouting"), nil
	}
	return plugin.Next, err
}

func exclamations(body io.ReadCloser) (int, error) {
	defer body.Close()
	count, buffer := 0, make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		count += bytes.Count(buffer[:n], []byte("!"))
		if err == io.EOF {
			return count, nil
		}
		if err != nil {
			return count, err
		}
	}
}

func init() { plugin.Register(&Cost{}) }

func main() {}
