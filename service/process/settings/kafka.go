package settings

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process/reload"
)

// Kafka says where the log is.
type Kafka struct {
	Brokers       []string `name:"kafka-brokers" env:"CLUSTERLITE_KAFKA_BROKERS" default:"127.0.0.1:19092" placeholder:"HOST:PORT" help:"Brokers for the initial connection, separated by commas (default ${default})."`
	KafkaSecurity `embed:""`
	Topic         `embed:""`
}

// KafkaSecurity says how connections to the brokers are encrypted and authenticated.
type KafkaSecurity struct {
	TLS          bool     `name:"kafka-tls" env:"CLUSTERLITE_KAFKA_TLS" help:"Encrypt the connections to the brokers (default false)."`
	CAFile       string   `name:"kafka-tls-ca-file" env:"CLUSTERLITE_KAFKA_TLS_CA_FILE" placeholder:"FILE" help:"PEM file with the certificate authorities that may sign certificates of brokers. Default: those of the system."`
	CertFile     string   `name:"kafka-tls-cert-file" env:"CLUSTERLITE_KAFKA_TLS_CERT_FILE" placeholder:"FILE" help:"PEM file with the client certificate for the brokers. Default: none."`
	KeyFile      string   `name:"kafka-tls-key-file" env:"CLUSTERLITE_KAFKA_TLS_KEY_FILE" placeholder:"FILE" help:"PEM file with the key of the client certificate. Default: none."`
	Mechanism    string   `name:"kafka-sasl-mechanism" env:"CLUSTERLITE_KAFKA_SASL_MECHANISM" placeholder:"NAME" help:"How to authenticate to the brokers: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. Default: not at all."`
	Username     string   `name:"kafka-sasl-username" env:"CLUSTERLITE_KAFKA_SASL_USERNAME" placeholder:"NAME" help:"User name for the brokers; for OAUTHBEARER, the client ID."`
	Password     string   `name:"kafka-sasl-password" env:"CLUSTERLITE_KAFKA_SASL_PASSWORD" placeholder:"SECRET" help:"Password for the brokers; for OAUTHBEARER, the client secret. Prefer the file: other users of the machine can see flags."`
	PasswordFile string   `name:"kafka-sasl-password-file" env:"CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE" placeholder:"FILE" help:"File with that password. A replaced file takes effect with the next connection."`
	TokenURL     string   `name:"kafka-sasl-token-url" env:"CLUSTERLITE_KAFKA_SASL_TOKEN_URL" placeholder:"URL" help:"For OAUTHBEARER: where to get access tokens with the client credentials."`
	Scopes       []string `name:"kafka-sasl-scopes" env:"CLUSTERLITE_KAFKA_SASL_SCOPES" placeholder:"NAME" help:"For OAUTHBEARER: scopes to request, separated by commas. Default: none."`
}

var mechanisms = []string{eventlog.Plain, eventlog.ScramSHA256, eventlog.ScramSHA512, eventlog.OAuthBearer}

// tokenPatience bounds one request for an access token.
const tokenPatience = 10 * time.Second

// CheckSettings is called by the parser.
func (k *Kafka) CheckSettings() error {
	if len(k.Brokers) == 0 {
		return bad("kafka-brokers", "", "at least one host:port")
	}
	for _, b := range k.Brokers {
		if err := CheckAddr("kafka-brokers", b); err != nil {
			return err
		}
	}
	if err := k.KafkaSecurity.CheckSettings(); err != nil {
		return err
	}
	return k.Topic.CheckSettings()
}

// CheckSettings is called by the parser.
func (s *KafkaSecurity) CheckSettings() error {
	if !s.TLS {
		for _, f := range []struct{ flag, value string }{{"kafka-tls-ca-file", s.CAFile}, {"kafka-tls-cert-file", s.CertFile}, {"kafka-tls-key-file", s.KeyFile}} {
			if f.value != "" {
				return fmt.Errorf("--%s (%s) is set without --kafka-tls (CLUSTERLITE_KAFKA_TLS=true)", f.flag, variable(f.flag))
			}
		}
	}
	if err := checkPair("kafka-tls", s.CertFile, s.KeyFile, ""); err != nil {
		return err
	}
	return s.validateSASL()
}

func (s *KafkaSecurity) validateSASL() error {
	if s.Mechanism == "" {
		for _, f := range []struct{ flag, value string }{{"kafka-sasl-username", s.Username}, {"kafka-sasl-password", s.Password}, {"kafka-sasl-password-file", s.PasswordFile}, {"kafka-sasl-token-url", s.TokenURL}} {
			if f.value != "" {
				return fmt.Errorf("--%s (%s) is set without --kafka-sasl-mechanism (CLUSTERLITE_KAFKA_SASL_MECHANISM), which is one of %s", f.flag, variable(f.flag), oneOf(mechanisms))
			}
		}
		return nil
	}
	if !slices.Contains(mechanisms, s.Mechanism) {
		return bad("kafka-sasl-mechanism", s.Mechanism, oneOf(mechanisms))
	}
	if s.Username == "" {
		return bad("kafka-sasl-username", "", "a user name, which "+s.Mechanism+" needs")
	}
	if (s.Password == "") == (s.PasswordFile == "") {
		return fmt.Errorf("%s needs either --kafka-sasl-password-file (CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE) or CLUSTERLITE_KAFKA_SASL_PASSWORD, and not both", s.Mechanism)
	}
	u, err := url.Parse(s.TokenURL)
	valid := err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
	if s.Mechanism == eventlog.OAuthBearer && !valid {
		return bad("kafka-sasl-token-url", s.TokenURL, "the URL of a token endpoint, which OAUTHBEARER needs")
	}
	if s.Mechanism != eventlog.OAuthBearer && s.TokenURL != "" {
		return fmt.Errorf("--kafka-sasl-token-url (CLUSTERLITE_KAFKA_SASL_TOKEN_URL) is for OAUTHBEARER only")
	}
	return nil
}

// Security reads the files of the settings. Later changes of the files take effect with the
// next connection; a change that can't be used goes to report, and the previous content stays
// in effect. It returns an error that names the setting if a file can't be used now.
func (s *KafkaSecurity) Security(report func(error)) (security eventlog.Security, err error) {
	if s.TLS {
		if security.TLS, err = openClientTLS(s.CAFile, s.CertFile, s.KeyFile, report); err != nil {
			return security, fmt.Errorf("the TLS files for Kafka (CLUSTERLITE_KAFKA_TLS_CA_FILE, CLUSTERLITE_KAFKA_TLS_CERT_FILE, CLUSTERLITE_KAFKA_TLS_KEY_FILE): %w", err)
		}
	}
	if s.Mechanism == "" {
		return security, nil
	}
	password := func() string { return s.Password }
	if s.PasswordFile != "" {
		file, err := reload.Open(func(contents [][]byte) (string, error) {
			secret := strings.TrimRight(string(contents[0]), "\r\n")
			if secret == "" {
				return "", fmt.Errorf("--kafka-sasl-password-file (CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE): %s is empty", s.PasswordFile)
			}
			return secret, nil
		}, report, s.PasswordFile)
		if err != nil {
			return security, fmt.Errorf("--kafka-sasl-password-file (CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE): %w", err)
		}
		password = file.Get
	}
	security.SASL = &eventlog.SASL{Mechanism: s.Mechanism}
	if s.Mechanism == eventlog.OAuthBearer {
		security.SASL.Token = s.token(password)
	} else {
		security.SASL.Credentials = func() (string, string) { return s.Username, password() }
	}
	return security, nil
}

// token returns a function that gets access tokens and keeps each until shortly before it
// expires.
func (s *KafkaSecurity) token(password func() string) func(context.Context) (string, error) {
	client := &http.Client{Timeout: tokenPatience}
	kept := oauth2.ReuseTokenSource(nil, tokenSource(func() (*oauth2.Token, error) {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), oauth2.HTTPClient, client), tokenPatience)
		defer cancel()
		config := clientcredentials.Config{ClientID: s.Username, ClientSecret: password(), TokenURL: s.TokenURL, Scopes: s.Scopes}
		return config.Token(ctx)
	}))
	return func(context.Context) (string, error) {
		token, err := kept.Token()
		if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) && refused.Response.StatusCode < 500 {
			return "", &eventlog.AccessError{
				Reason: "the token endpoint rejected the client credentials",
				Remedy: "Check CLUSTERLITE_KAFKA_SASL_USERNAME, CLUSTERLITE_KAFKA_SASL_PASSWORD and CLUSTERLITE_KAFKA_SASL_SCOPES.",
				// The text of the error would hold the body of the answer.
				Err: fmt.Errorf("%s answered %s", s.TokenURL, refused.Response.Status),
			}
		}
		if err != nil {
			return "", fmt.Errorf("get an access token for Kafka from %s: %w", s.TokenURL, err)
		}
		return token.AccessToken, nil
	}
}

type tokenSource func() (*oauth2.Token, error)

// Token implements [oauth2.TokenSource].
func (f tokenSource) Token() (*oauth2.Token, error) { return f() }
