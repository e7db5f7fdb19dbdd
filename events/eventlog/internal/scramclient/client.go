// Package scramclient lets sarama use franz-go's implementation of SCRAM, so that both clients share
// one.
package scramclient

import (
	"context"

	"github.com/twmb/franz-go/pkg/sasl"
)

// New returns a client that authenticates by a mechanism of franz-go.
func New(m sasl.Mechanism) *Client { return &Client{mechanism: m} }

// A Client performs one authentication.
type Client struct {
	mechanism sasl.Mechanism
	session   sasl.Session
	first     []byte
	done      bool
}

// Begin implements [sarama.SCRAMClient]. The credentials are those of the mechanism.
func (c *Client) Begin(_, _, _ string) (err error) {
	c.session, c.first, err = c.mechanism.Authenticate(context.Background(), "")
	return err
}

// Step implements [sarama.SCRAMClient].
func (c *Client) Step(challenge string) (string, error) {
	if c.first != nil {
		first := c.first
		c.first = nil
		return string(first), nil
	}
	done, response, err := c.session.Challenge([]byte(challenge))
	c.done = done
	return string(response), err
}

// Done implements [sarama.SCRAMClient].
func (c *Client) Done() bool { return c.done }
