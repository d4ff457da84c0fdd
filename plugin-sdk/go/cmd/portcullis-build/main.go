// Portcullis-build compiles the plugin in a folder to WebAssembly and says in the module which contract
// it was made for.
//
//	go tool portcullis-build [-o FILE.wasm] [FOLDER]
package main

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// An object file of wit-bindgen; see generate.sh. It is a module of its own.
//
//go:embed component-type.o
var object []byte

func main() {
	output := flag.String("o", "", "the file to write; by default the name of the module, with .wasm")
	flag.Parse()
	folder := flag.Arg(0)
	if folder == "" {
		folder = "."
	}
	if err := build(folder, *output); err != nil {
		fmt.Fprintln(os.Stderr, "portcullis-build:", err)
		os.Exit(1)
	}
}

func build(folder, output string) error {
	if output == "" {
		module := exec.Command("go", "list", "-m")
		module.Dir = folder
		name, err := module.Output()
		if err != nil {
			return fmt.Errorf("go list -m: %w", err)
		}
		output = path.Base(strings.TrimSpace(string(name))) + ".wasm"
	}
	output, err := filepath.Abs(output)
	if err != nil {
		return err
	}
	// A gateway never reads half a plugin.
	unfinished := output + ".new"
	defer os.Remove(unfinished)
	compile := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", unfinished, ".")
	compile.Dir = folder
	compile.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	compile.Stdout, compile.Stderr = os.Stdout, os.Stderr
	if err := compile.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	section, err := componentType(object)
	if err != nil {
		return err
	}
	module, err := os.OpenFile(unfinished, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := module.Write(section); err != nil {
		return err
	}
	if err := module.Close(); err != nil {
		return err
	}
	return os.Rename(unfinished, output)
}

// componentType cuts the custom section that names the contract out of a module.
func componentType(module []byte) ([]byte, error) {
	const header = 8 // magic and version
	const custom = 0
	for at := header; at < len(module); {
		size, n := binary.Uvarint(module[at+1:])
		start := at + 1 + n
		end := start + int(size)
		if n <= 0 || end > len(module) {
			break
		}
		if module[at] == custom {
			length, n := binary.Uvarint(module[start:])
			if bytes.HasPrefix(module[start+n:start+n+int(length)], []byte("component-type")) {
				return module[at:end], nil
			}
		}
		at = end
	}
	return nil, errors.New("component-type.o has no component type")
}
