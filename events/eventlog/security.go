package eventlog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/scramclient"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security says how connections to the brokers are encrypted and authenticated. The zero
// value means plaintext connections without credentials.
type Security struct {
	// TLS returns the configuration of a new connection, without a server name; nil means
	// plaintext. It is called for each connection, from many goroutines at once, so that
	// replaced certificates take effect without a restart. Its result is not modified.
	TLS func() *tls.Config
	// SASL holds the credentials; nil means none.
	SASL *SASL
}

// The SASL mechanisms, as Kafka names them.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

// SASL holds credentials for brokers. Its functions are called for each new connection or
// client, from many goroutines at once.
type SASL struct {
	// Mechanism is one of the constants above.
	Mechanism string
	// Credentials returns the user name and the password, for all mechanisms but OAUTHBEARER.
	Credentials func() (username, password string)
	// Token returns an access token, for OAUTHBEARER.
	Token func(context.Context) (string, error)
}

// tokenPatience bounds how long sarama waits for an access token.
const tokenPatience = 10 * time.Second

// encrypt performs the TLS handshake on a new connection to a broker. ctx bounds it.
func (s Security) encrypt(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	if s.TLS == nil {
		return conn, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	config := s.TLS().Clone()
	config.ServerName = host
	encrypted := tls.Client(conn, config)
	err = encrypted.HandshakeContext(ctx)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil, fmt.Errorf("TLS handshake with broker %s: it closed the connection: does this listener, of CLUSTERLITE_KAFKA_BROKERS, speak TLS? %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("TLS handshake with broker %s: %w", addr, err)
	}
	return encrypted, nil
}

// clientOptions are the SASL options of franz-go's clients.
func (s Security) clientOptions() []kgo.Opt {
	if s.SASL == nil {
		return nil
	}
	return []kgo.Opt{kgo.SASL(s.SASL.mechanism())}
}

func (s *SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case ScramSHA256:
		return scram.Sha256(s.scram)
	case ScramSHA512:
		return scram.Sha512(s.scram)
	case OAuthBearer:
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: token}, err
		})
	default:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			username, password := s.Credentials()
			return plain.Auth{User: username, Pass: password}, nil
		})
	}
}

func (s *SASL) scram(context.Context) (scram.Auth, error) {
	username, password := s.Credentials()
	return scram.Auth{User: username, Pass: password}, nil
}

// configure sets the SASL options of a sarama client.
func (s Security) configure(c *sarama.Config) {
	if s.SASL == nil {
		return
	}
	c.Net.SASL.Enable = true
	c.Net.SASL.Mechanism = sarama.SASLMechanism(s.SASL.Mechanism)
	switch s.SASL.Mechanism {
	case OAuthBearer:
		c.Net.SASL.TokenProvider = tokenProvider{s.SASL}
	case ScramSHA256, ScramSHA512:
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return scramclient.New(s.SASL.mechanism()) }
		fallthrough
	default:
		c.Net.SASL.User, c.Net.SASL.Password = s.SASL.Credentials()
	}
}

// tokenProvider provides access tokens to sarama.
type tokenProvider struct{ sasl *SASL }

// Token implements [sarama.AccessTokenProvider], which takes no context.
func (p tokenProvider) Token() (*sarama.AccessToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenPatience)
	defer cancel()
	token, err := p.sasl.Token(ctx)
	return &sarama.AccessToken{Token: token}, err
}
