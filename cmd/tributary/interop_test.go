//go:build interop

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// clients is where the programs of interop/ are.
const clients = "../../interop"

// runNode runs interop/node/<name>.mjs and reads the JSON document that it prints into answer.
// It gives the error with which the program ended, told by its standard error.
func runNode(t *testing.T, name string, env map[string]string, answer any) error {
	t.Helper()
	return runClient(t, filepath.Join(clients, "node"), env, answer, "node", name+".mjs")
}

// runPython does the same with interop/python/<name>.py.
func runPython(t *testing.T, name string, env map[string]string, answer any) error {
	t.Helper()
	return runClient(t, filepath.Join(clients, "python"), env, answer, "venv/bin/python", name+".py")
}

// A clientError is a program that ended with another status than 0.
type clientError struct {
	err error
	out string
}

func (e *clientError) Error() string { return e.err.Error() + "\n" + e.out }

func runClient(t *testing.T, dir string, env map[string]string, answer any, program string, args ...string) error {
	t.Helper()
	if program != "node" { // of the folder, not of PATH
		var err error
		if program, err = filepath.Abs(filepath.Join(dir, program)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return &clientError{err: err, out: out.String() + said.String()}
	}
	if answer != nil {
		if err := json.Unmarshal(out.Bytes(), answer); err != nil {
			t.Fatalf("%s %v printed no JSON: %v\n%s%s", program, args, err, out.String(), said.String())
		}
	}
	return nil
}
