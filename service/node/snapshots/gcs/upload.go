package gcs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cenkalti/backoff/v5"

	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/upload"
)

// statusIncomplete is the answer to each part but the last one.
const statusIncomplete = http.StatusPermanentRedirect

// upload sends an object in parts, as a resumable upload. The object exists once the last
// part has arrived. After a temporary failure it asks how much has arrived, and continues
// there.
func (c *client) upload(ctx context.Context, bucket, name string, r io.Reader) error {
	session, err := c.startUpload(ctx, bucket, name)
	if err != nil {
		return err
	}
	for offset := int64(0); ; {
		// Each part has separate memory: after an early response, the HTTP client may still read the
		// body of the request.
		part := make([]byte, upload.PartSize)
		n, err := io.ReadFull(r, part)
		last := errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF //nolint:errorlint // a reader ends with io.EOF itself
		if err != nil && !last {
			return err
		}
		if err := c.sendPart(ctx, session, part[:n], offset, last); err != nil {
			return err
		}
		if last {
			return nil
		}
		offset += int64(n)
	}
}

// startUpload returns the URL that takes the parts.
func (c *client) startUpload(ctx context.Context, bucket, name string) (string, error) {
	query := url.Values{"uploadType": {"resumable"}, "name": {name}}
	response, err := c.do(ctx, func() (*http.Request, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/upload/storage/v1/b/"+url.PathEscape(bucket)+"/o?"+query.Encode(), nil)
		if err == nil {
			request.Header.Set("X-Upload-Content-Type", "application/octet-stream")
		}
		return request, err
	})
	if err != nil {
		return "", err
	}
	session := response.Header.Get("Location")
	if session == "" {
		return "", errors.Join(errors.New("the service named no URL for the upload"), response.Body.Close())
	}
	return session, response.Body.Close()
}

// sendPart sends the part of the object at an offset until all of it has arrived.
func (c *client) sendPart(ctx context.Context, session string, part []byte, offset int64, last bool) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = firstPause, maxPause
	end, arrived, failed := offset+int64(len(part)), offset, false
	total := "*"
	if last {
		total = strconv.FormatInt(end, 10)
	}
	_, err := backoff.Retry(ctx, func() (none struct{}, _ error) {
		var body []byte
		content := "bytes */" + total // asks how much has arrived
		if !failed && arrived < end {
			body = part[arrived-offset:]
			content = fmt.Sprintf("bytes %d-%d/%s", arrived, end-1, total)
		}
		now, complete, err := c.put(ctx, session, content, body)
		if err != nil {
			failed = true
			if status := (*statusError)(nil); ctx.Err() != nil || errors.As(err, &status) && !status.temporary() {
				return none, backoff.Permanent(err)
			}
			return none, err
		}
		failed = false
		switch {
		case complete && last, !last && now == end:
			return none, nil
		case complete || now < offset || now > end:
			return none, backoff.Permanent(fmt.Errorf("the service reports %d bytes of an upload, want %d to %d", now, offset, end))
		}
		arrived = now
		return none, fmt.Errorf("%d of %d bytes have arrived", now, end)
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(2*tries), backoff.WithMaxElapsedTime(0))
	return err
}

// put sends one request of an upload. It returns how many bytes of the object have arrived.
func (c *client) put(ctx context.Context, session, content string, body []byte) (arrived int64, complete bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, session, bytes.NewReader(body))
	if err != nil {
		return 0, false, backoff.Permanent(err)
	}
	request.Header.Set("Content-Range", content)
	response, err := c.send(request)
	if err != nil {
		return 0, false, err
	}
	if err := response.Body.Close(); err != nil {
		return 0, false, err
	}
	if response.StatusCode != statusIncomplete {
		return 0, true, nil
	}
	if _, to, found := strings.Cut(response.Header.Get("Range"), "-"); found {
		last, err := strconv.ParseInt(to, 10, 64)
		return last + 1, false, err
	}
	return 0, false, nil
}
