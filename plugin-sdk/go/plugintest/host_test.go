package plugintest

import (
	"errors"
	"io"
	"testing"

	"portcullis.example/plugin"
)

func TestStreamsAreAnsweredAndRemembered(t *testing.T) {
	gateway := NewHost(t)
	if _, err := plugin.OpenStream("a:1", 0); !errors.Is(err, plugin.ErrDenied) {
		t.Fatalf("without the grant: %v", err)
	}
	gateway.Services = map[string]func([]byte) ([]byte, error){
		"a:1": func(heard []byte) ([]byte, error) {
			if len(heard) == 0 {
				return nil, plugin.ErrTimedOut
			}
			return []byte("PONG"), nil
		},
	}
	stream, err := plugin.OpenStream("a:1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, plugin.ErrTimedOut) {
		t.Fatalf("too early: %v", err)
	}
	if _, err := io.WriteString(stream, "PING"); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(stream); err != nil || string(said) != "PONG" {
		t.Fatalf("%q, %v", said, err)
	}
	if heard := gateway.Streamed[0].String(); heard != "PING" {
		t.Fatalf("heard %q", heard)
	}
}
