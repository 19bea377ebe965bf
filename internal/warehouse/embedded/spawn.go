package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A child is one process of the engine.
type child struct {
	pid    int
	orders io.Closer // closed, it lets the child go
	kill   func() error
	gone   chan struct{} // closed when the process has ended
	status string        // how; set before gone is closed

	mu    sync.Mutex
	words []string // the first and the last lines of its standard error
}

const (
	firstWords = 20
	allWords   = 50
	bootLimit  = time.Minute
	endLimit   = 15 * time.Second
)

// spawn starts a child and returns when it serves.
func (e *Engine) spawn(ctx context.Context) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	socket, err := e.listener.File()
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	cmd := exec.Command(self, Command)
	cmd.Env = childEnvironment()
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// listenerFD and ordersFD. Standard input stays empty: see ordersFD.
	cmd.ExtraFiles = []*os.File{socket, theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt typed at the parent is the parent's to handle
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		ours.Close()
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		ours.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	c := &child{pid: cmd.Process.Pid, orders: ours, kill: cmd.Process.Kill, gone: make(chan struct{})}
	reports := make(chan report, 1)
	go c.follow(cmd, stdout, stderr, reports)
	if err := json.NewEncoder(ours).Encode(e.orders()); err != nil {
		c.end()
		return nil, c.problem(err)
	}
	boot := time.NewTimer(bootLimit + e.options.LockWait)
	defer boot.Stop()
	select {
	case r, ok := <-reports:
		if ok && r.Error == "" && r.Port != 0 {
			return c, nil
		}
		c.end()
		if r.Error != "" {
			return nil, c.problem(errors.New(r.Error))
		}
		return nil, c.problem(errors.New("the child said nothing; does main call embedded.MaybeChild?"))
	case <-boot.C:
		c.kill()
		<-c.gone
		return nil, c.problem(errors.New("the child did not serve in time"))
	case <-ctx.Done():
		c.end()
		return nil, ctx.Err()
	}
}

func (e *Engine) orders() orders {
	o := e.options
	return orders{
		Library: o.Library, Dir: o.Dir, User: o.User, Password: o.Password, LockWait: o.LockWait, MaxQueries: o.MaxQueries,
		MaxBody: o.MaxBody, MaxResult: o.MaxResult, MaxMemory: o.MaxMemory, NoSync: o.NoSync,
	}
}

// childEnvironment is what the child needs of the environment and none of the secrets that may be in it.
func childEnvironment() []string {
	env := []string{childEnv + "=1", "TZ=UTC"} // an analyst's day is the same on every machine
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "GORACE", "GOTRACEBACK", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// follow reads what the child says and waits for its end.
func (c *child) follow(cmd *exec.Cmd, stdout, stderr io.Reader, reports chan<- report) {
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(reports)
		lines := bufio.NewScanner(stdout)
		for reported := false; lines.Scan(); {
			var r report
			if !reported && json.Unmarshal(lines.Bytes(), &r) == nil {
				reports <- r
				reported = true
			}
		}
		io.Copy(io.Discard, stdout)
	})
	reading.Go(func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			c.note(lines.Text())
		}
		io.Copy(io.Discard, stderr)
	})
	reading.Wait()
	err := cmd.Wait()
	c.status = cmd.ProcessState.String()
	if cmd.ProcessState == nil {
		c.status = fmt.Sprint(err)
	}
	close(c.gone)
}

// note keeps a line of standard error. A crash says what happened first, and a lot after that.
func (c *child) note(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.words) == allWords {
		c.words = slices.Delete(c.words, firstWords, firstWords+1)
	}
	c.words = append(c.words, line[:min(len(line), 500)])
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.words, "\n")
}

func (c *child) problem(err error) error {
	if said := c.said(); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// end lets go of the child and waits until it is gone.
func (c *child) end() {
	c.orders.Close()
	select {
	case <-c.gone:
	case <-time.After(endLimit):
		c.kill()
		<-c.gone
	}
}
