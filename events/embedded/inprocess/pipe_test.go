package inprocess

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func pipeConns(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client, server = Pipe(&net.TCPAddr{})
	t.Cleanup(func() { _ = errors.Join(client.Close(), server.Close()) })
	return client, server
}

func TestAPipeCarriesWhatIsWritten(t *testing.T) {
	client, server := pipeConns(t)
	want := bytes.Repeat([]byte("0123456789"), 50_000) // more than a pipe can buffer
	go func() {
		for part := want; len(part) > 0; part = part[min(len(part), 1777):] {
			_, _ = client.Write(part[:min(len(part), 1777)])
		}
		_ = client.Close()
	}()
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want the %d bytes that were written", len(got), err, len(want))
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v from a write to a closed end, want io.ErrClosedPipe", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v from a read after Close, want net.ErrClosed", err)
	}
}

func TestAReadOfAPipeEnds(t *testing.T) {
	for name, end := range map[string]struct {
		how  func(client, server net.Conn)
		want error
	}{
		"when its end is closed":            {func(_, server net.Conn) { _ = server.Close() }, net.ErrClosed},
		"when the other end is closed":      {func(client, _ net.Conn) { _ = client.Close() }, io.EOF},
		"at a deadline":                     {func(_, server net.Conn) { _ = server.SetDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		"when its deadline becomes earlier": {func(_, server net.Conn) { _ = server.SetReadDeadline(time.Now()) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := pipeConns(t)
				if strings.Contains(name, "earlier") {
					_ = server.SetReadDeadline(time.Now().Add(time.Hour))
				}
				ended := make(chan error, 1)
				go func() {
					_, err := server.Read(make([]byte, 1))
					ended <- err
				}()
				synctest.Wait()
				end.how(client, server)
				if err := <-ended; !errors.Is(err, end.want) {
					t.Errorf("got %v, want %v", err, end.want)
				}
			})
		})
	}
}

func TestARemovedDeadlineEndsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipeConns(t)
		_ = server.SetReadDeadline(time.Now().Add(time.Second))
		got := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 1))
			got <- err
		}()
		synctest.Wait()
		_ = server.SetReadDeadline(time.Time{})
		time.Sleep(time.Minute)
		_, _ = client.Write([]byte("x"))
		if err := <-got; err != nil {
			t.Errorf("got %v, want the byte that was written", err)
		}
	})
}
