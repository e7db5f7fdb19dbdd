package coding

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// An Encoder compresses a response. Use it from one goroutine at a time.
type Encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Speed matters more than size, because the network is rarely the slower part. The window
// bounds the memory of a zstd encoder and of its reader.
var (
	gzipEncoders = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is valid
		}
		return w
	}}
	zstdEncoders = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are valid
		}
		return w
	}}
)

// NewEncoder returns an encoder, of gzip or zstd, that writes to w. Call release when it is no
// longer used.
func NewEncoder(coding string, w io.Writer) (e Encoder, release func()) {
	pool := &gzipEncoders
	if coding == Zstd {
		pool = &zstdEncoders
	}
	e = pool.Get().(Encoder)
	e.Reset(w)
	return e, func() {
		e.Reset(nil) // so that the pool keeps no writer alive
		pool.Put(e)
	}
}

// compressing limits how many whole responses are compressed at once. More would not be
// faster, and each encoder takes one or two megabytes.
var compressing = make(chan struct{}, 2*runtime.GOMAXPROCS(0))

// Compress compresses a whole response. It returns ctx's error if ctx ends while the response
// waits for its turn. The capacity of the result is the memory that it takes.
func Compress(ctx context.Context, coding string, body []byte) ([]byte, error) {
	select {
	case compressing <- struct{}{}:
		defer func() { <-compressing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var out bytes.Buffer
	out.Grow(len(body) / 4)
	e, release := NewEncoder(coding, &out)
	defer release()
	if _, err := e.Write(body); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
