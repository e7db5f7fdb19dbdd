package web

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"
)

// leastCompressed is the size from which an answer is compressed. A smaller one fits in a
// packet as it is.
const leastCompressed = 1 << 10

// uncompressedKey marks the requests of a server that compresses nothing.
const uncompressedKey = "clusterlite.uncompressed"

// uncompressed keeps a server from compressing answers.
func uncompressed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(uncompressedKey, true)
		return next(c)
	}
}

// chooseCoding chooses the content coding of an answer of so many bytes and describes it
// in the header. A compressed answer is another representation, so its strong entity tag
// is another one (RFC 9110, 8.8.3.3): "3" becomes "3-gzip". Call it once the ETag is set.
func chooseCoding(c echo.Context, size int) string {
	if c.Response().Header().Get("Content-Encoding") != "" {
		return identity // it comes compressed
	}
	accepted := c.Request().Header["Accept-Encoding"]
	if size < leastCompressed && !slices.ContainsFunc(accepted, refusesSome) {
		return identity // the same for all clients that take it plain
	}
	if c.Get(uncompressedKey) != nil {
		return identity
	}
	h := c.Response().Header()
	AddVary(h, "Accept-Encoding")
	coding, plain := preferredCoding(accepted)
	if coding == identity || size < leastCompressed && plain {
		return identity
	}
	h.Set("Content-Encoding", coding)
	if etag := h.Get("ETag"); strings.HasPrefix(etag, `"`) {
		h.Set("ETag", strings.TrimSuffix(etag, `"`)+"-"+coding+`"`)
	}
	return coding
}

// refusesSome tells, at little cost, whether a client may not take an answer plain.
func refusesSome(accepted string) bool { return strings.Contains(accepted, "=0") }

// preferredCoding tells which coding a client likes best, and whether it takes an answer
// that has none (RFC 9110, 12.5.3). Of equals it is gzip.
func preferredCoding(header []string) (coding string, plain bool) {
	if len(header) == 0 {
		return identity, true
	}
	if len(header) == 1 && header[0] == codeGzip {
		return codeGzip, true
	}
	ranges := parseAccept(strings.Join(header, ","), 0) // to leave a coding out is always right
	liking := func(names ...string) (q float64, listed bool) {
		for _, name := range append(names, "*") {
			if i := slices.IndexFunc(ranges, func(r mediaRange) bool { return r.name == name }); i >= 0 {
				return ranges[i].q, true
			}
		}
		return 0, false
	}
	none, listed := liking("identity")
	plain = !listed || none > 0
	inGzip, _ := liking(codeGzip, "x-gzip")
	inZstd, _ := liking(codeZstd)
	coding, q := codeGzip, inGzip
	if inZstd > inGzip {
		coding, q = codeZstd, inZstd
	}
	if q == 0 || none > q {
		return identity, plain
	}
	return coding, plain
}

// TrimCoding gives the opaque part of an entity tag without what tells that it is one of
// a compressed answer.
func TrimCoding(opaque string) string {
	if plain, cut := strings.CutSuffix(opaque, "-"+codeGzip); cut {
		return plain
	}
	return strings.TrimSuffix(opaque, "-"+codeZstd)
}

// AddVary adds a field name to Vary unless it is there.
func AddVary(h http.Header, name string) {
	for _, list := range h["Vary"] {
		for field := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(field), name) {
				return
			}
		}
	}
	h.Add("Vary", name)
}

// NotModified answers that the client has what it asks for. Size is that of the answer
// that it would have got: what is said of that one's choice, a 304 says too (RFC 9110,
// 15.4.5).
func NotModified(c echo.Context, size int) error {
	if size >= leastCompressed && c.Get(uncompressedKey) == nil {
		AddVary(c.Response().Header(), "Accept-Encoding")
	}
	return c.NoContent(http.StatusNotModified)
}

// An encoder compresses an answer.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Speed comes first: the network is seldom the slower part. The window bounds what a zstd
// encoder takes, and what its reader needs.
var (
	gzipEncoders = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is right
		}
		return w
	}}
	zstdEncoders = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // these options are right
		}
		return w
	}}
)

// beginEncoding takes an encoder. It is given back with end.
func beginEncoding(coding string, w io.Writer) (e encoder, end func()) {
	pool := &gzipEncoders
	if coding == codeZstd {
		pool = &zstdEncoders
	}
	e = pool.Get().(encoder)
	e.Reset(w)
	return e, func() {
		e.Reset(nil) // so that it keeps nothing alive
		pool.Put(e)
	}
}

// compressing has a place for each whole answer that is compressed at a time. More at
// once would be no faster, and each encoder takes a megabyte or two.
var compressing = make(chan struct{}, 2*runtime.GOMAXPROCS(0))

// compress compresses an answer that is ready, into memory of the request's account.
func compress(c echo.Context, coding string, body []byte) ([]byte, error) {
	select {
	case compressing <- struct{}{}:
		defer func() { <-compressing }()
	case <-c.Request().Context().Done():
		return nil, c.Request().Context().Err()
	}
	var out bytes.Buffer
	out.Grow(len(body) / 4)
	e, end := beginEncoding(coding, &out)
	defer end()
	if _, err := e.Write(body); err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), TakeMemory(c, out.Cap())
}
