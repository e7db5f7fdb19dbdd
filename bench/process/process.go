package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
)

// Running is a set of processes that have been started.
type Running interface {
	// Stop ends all processes and waits until they have ended.
	Stop()
	// PIDs returns the ids of the processes.
	PIDs() []int
}

// A Fleet is a set of processes. The process that was started last stops first.
type Fleet []Running

// Stop implements [Running].
func (f Fleet) Stop() {
	for _, p := range slices.Backward(f) {
		p.Stop()
	}
}

// PIDs implements [Running].
func (f Fleet) PIDs() (all []int) {
	for _, p := range f {
		all = append(all, p.PIDs()...)
	}
	return all
}

// A Process is a running program.
type Process struct {
	cmd    *exec.Cmd
	output string // the file with its output
	ended  chan error
}

// Launch starts a program with its output in dir, and waits until url answers with any
// status below 500.
func Launch(ctx context.Context, dir, url string, env []string, program string, args ...string) (*Process, error) {
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
	// The program gets its own process group, so that Stop also reaches its children, such as
	// the program of a tracer. No process outlives the benchmarks, however they end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &Process{cmd: cmd, output: output.Name(), ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	if err := p.await(ctx, url); err != nil {
		p.Stop()
		said, _ := os.ReadFile(p.output)
		return nil, fmt.Errorf("start %s: %w\n%s", program, err, said)
	}
	return p, nil
}

func (p *Process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		status, _, err := load.Send(ctx, http.MethodGet, url, "", nil)
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

// PIDs implements [Running].
func (p *Process) PIDs() []int { return []int{p.cmd.Process.Pid} }

// Stop ends the process and all its children, by force after ten seconds.
func (p *Process) Stop() {
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
func (p *Process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// FreeAddr is an address on loopback that nothing listens on.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// TwoAddrs returns two free addresses on loopback.
func TwoAddrs() (one, other string, err error) {
	if one, err = FreeAddr(); err != nil {
		return "", "", err
	}
	for other == "" || other == one {
		if other, err = FreeAddr(); err != nil {
			return "", "", err
		}
	}
	return one, other, nil
}
