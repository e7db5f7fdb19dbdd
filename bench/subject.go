package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A subject is a store that can be measured.
type subject interface {
	// name returns the name of the subject in the report.
	name() string
	// base returns the URL of the running subject.
	base() string
	// start starts the subject with an empty store in dir. The subject runs until the returned
	// value is stopped.
	start(ctx context.Context, dir string) (running, error)
	// fill creates the given number of entities.
	fill(ctx context.Context, entities int) error
	// load returns the requests of a workload. ok is false if the subject does not support it.
	load(c workload) (l load, ok bool)
}

// running is the set of processes that a subject has started.
type running interface {
	// stop ends all processes and waits until they have ended.
	stop()
	// pids returns the ids of the processes.
	pids() []int
}

// A fleet is a set of processes. The process that was started last stops first.
type fleet []running

func (f fleet) stop() {
	for _, p := range slices.Backward(f) {
		p.stop()
	}
}

func (f fleet) pids() (all []int) {
	for _, p := range f {
		all = append(all, p.pids()...)
	}
	return all
}

// A process is a running program.
type process struct {
	cmd    *exec.Cmd
	output string // the file with its output
	ended  chan error
}

// launch starts a program with its output in dir, and waits until url answers with any
// status below 500.
func launch(ctx context.Context, dir, url string, env []string, program string, args ...string) (*process, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return nil, err
	}
	defer output.Close() // the child has its own handle
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = output, output, dir
	cmd.Env = append(os.Environ(), env...)
	// The program gets its own process group, so that stop also reaches its children, such as
	// the program of a tracer. No process outlives the benchmarks, however they end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{cmd: cmd, output: output.Name(), ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	if err := p.await(ctx, url); err != nil {
		p.stop()
		said, _ := os.ReadFile(p.output)
		return nil, fmt.Errorf("start %s: %w\n%s", program, err, said)
	}
	return p, nil
}

func (p *process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		status, _, err := send(ctx, http.MethodGet, url, "", nil)
		if err == nil && status < 500 {
			return nil
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *process) pids() []int { return []int{p.cmd.Process.Pid} }

// stop ends the process and all its children, by force after ten seconds.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(10 * time.Second):
		p.signal(syscall.SIGKILL)
		p.ended <- <-p.ended
	}
	p.signal(syscall.SIGKILL) // children that outlive their parent
}

// signal sends a signal to the whole process group, which may have ended.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// freeAddr is an address on loopback that nothing listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// send sends one request and reads its answer.
func send(ctx context.Context, method, url, contentType string, body []byte, header ...string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// sendJSON sends a request that must succeed, and reads the answer into a value unless
// that is nil.
func sendJSON(ctx context.Context, method, url, contentType string, body []byte, into any, header ...string) error {
	status, answer, err := send(ctx, method, url, contentType, body, header...)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("%s %s: status %d: %s", method, url, status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// person is the entity that all subjects store: about 170 bytes, with a unique address.
func person(n int) (name, email string) {
	return fmt.Sprintf("Person %08d, with a name that is long enough to make a document of one hundred and seventy bytes, as many are", n),
		fmt.Sprintf("person-%08d@example.com", n)
}
