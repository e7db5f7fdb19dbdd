package settings

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/clusterlite/clusterlite/service/process/reload"
)

// APITLS says how the API listener is encrypted.
type APITLS struct {
	CertFile     string `name:"tls-cert-file" env:"CLUSTERLITE_TLS_CERT_FILE" placeholder:"FILE" help:"PEM file with the certificate of the API and its chain. A replaced file takes effect without a restart. Default: none; the API is plain HTTP."`
	KeyFile      string `name:"tls-key-file" env:"CLUSTERLITE_TLS_KEY_FILE" placeholder:"FILE" help:"PEM file with the key of that certificate."`
	ClientCAFile string `name:"tls-client-ca-file" env:"CLUSTERLITE_TLS_CLIENT_CA_FILE" placeholder:"FILE" help:"PEM file with authorities: a client of the API needs a certificate that one of them signed. Default: clients need none."`
}

// AdminTLS says how the admin listener is encrypted, and how its process reaches other admin
// listeners.
type AdminTLS struct {
	AdminAccess  `embed:""`
	ClientCAFile string `name:"admin-tls-client-ca-file" env:"CLUSTERLITE_ADMIN_TLS_CLIENT_CA_FILE" placeholder:"FILE" help:"PEM file with authorities: a client certificate that one of them signed is a credential of an operator. Default: none."`
}

// AdminAccess says how to reach admin listeners.
type AdminAccess struct {
	CertFile  string `name:"admin-tls-cert-file" env:"CLUSTERLITE_ADMIN_TLS_CERT_FILE" placeholder:"FILE" help:"PEM file with the certificate, and its chain, of the admin listener, and for requests to others. A replaced file takes effect without a restart. Default: none."`
	KeyFile   string `name:"admin-tls-key-file" env:"CLUSTERLITE_ADMIN_TLS_KEY_FILE" placeholder:"FILE" help:"PEM file with the key of that certificate."`
	CAFile    string `name:"admin-tls-ca-file" env:"CLUSTERLITE_ADMIN_TLS_CA_FILE" placeholder:"FILE" help:"PEM file with the authorities that may sign certificates of admin listeners. Default: those of the system."`
	Token     string `name:"admin-token" env:"CLUSTERLITE_ADMIN_TOKEN" placeholder:"SECRET" help:"Token of operators, which admin listeners require for everything but health, readiness and metrics. Prefer the file: other users of the machine can see flags."`
	TokenFile string `name:"admin-token-file" env:"CLUSTERLITE_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"File with that token. A replaced file takes effect within a second."`
}

// CheckSettings is called by the parser.
func (s *APITLS) CheckSettings() error {
	return checkPair("tls", s.CertFile, s.KeyFile, s.ClientCAFile)
}

// CheckSettings is called by the parser.
func (s *AdminTLS) CheckSettings() error {
	if err := s.AdminAccess.CheckSettings(); err != nil {
		return err
	}
	return checkPair("admin-tls", s.CertFile, s.KeyFile, s.ClientCAFile)
}

// CheckSettings is called by the parser.
func (s *AdminAccess) CheckSettings() error {
	if s.Token != "" && s.TokenFile != "" {
		return errors.New("set either --admin-token-file (CLUSTERLITE_ADMIN_TOKEN_FILE) or CLUSTERLITE_ADMIN_TOKEN, not both")
	}
	if s.Token != "" && len(s.Token) < minToken {
		return errShortToken
	}
	return checkPair("admin-tls", s.CertFile, s.KeyFile, "")
}

// minToken is the minimum length of the operators' token, so that it can't be guessed.
const minToken = 16

var errShortToken = fmt.Errorf("the token of --admin-token-file (CLUSTERLITE_ADMIN_TOKEN_FILE) or CLUSTERLITE_ADMIN_TOKEN is too short: it needs at least %d characters", minToken)

// Server returns the configuration for new connections, as [ServerTLS] does.
func (s *APITLS) Server(report func(error)) (func() *tls.Config, error) {
	return ServerTLS(s.CertFile, s.KeyFile, s.ClientCAFile, report)
}

// Server returns the configuration for new connections, as [ServerTLS] does, but probes need
// no certificate of a client: it is verified if there is one.
func (s *AdminTLS) Server(report func(error)) (func() *tls.Config, error) {
	config, err := ServerTLS(s.CertFile, s.KeyFile, s.ClientCAFile, report)
	if config == nil || s.ClientCAFile == "" || err != nil {
		return config, err
	}
	return func() *tls.Config {
		c := config().Clone()
		c.ClientAuth = tls.VerifyClientCertIfGiven
		return c
	}, nil
}

// Secret returns the operators' token, or nil if there is none. Changes of its file take effect
// as those of [AdminTLS.Server].
func (s *AdminAccess) Secret(report func(error)) (func() string, error) {
	token, err := OpenToken(s.Token, s.TokenFile, func(token string) error {
		if len(token) < minToken {
			return errShortToken
		}
		return nil
	}, report)
	if err != nil {
		return nil, fmt.Errorf("--admin-token-file (CLUSTERLITE_ADMIN_TOKEN_FILE): %w", err)
	}
	return token, nil
}

// Client returns the configuration for https requests to admin listeners, or nil for the
// default. Changes of the files take effect as those of [AdminTLS.Server].
func (s *AdminAccess) Client(report func(error)) (func() *tls.Config, error) {
	if s.CAFile == "" && s.CertFile == "" {
		return nil, nil
	}
	config, err := openClientTLS(s.CAFile, s.CertFile, s.KeyFile, report)
	if err != nil {
		return nil, fmt.Errorf("the TLS files for admin listeners: %w", err)
	}
	return config, nil
}

// openClientTLS reads the files that are set, and returns the configuration for new
// connections. Changes of the files take effect as those of [ServerTLS].
func openClientTLS(ca, cert, key string, report func(error)) (func() *tls.Config, error) {
	config, err := reload.Open(func(contents [][]byte) (*tls.Config, error) {
		return clientTLS(ca, cert, contents)
	}, report, given(ca, cert, key)...)
	if err != nil {
		return nil, err
	}
	return config.Get, nil
}

// authorities parses the certificates in a PEM file. The error names the file.
func authorities(path string, content []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return pool, nil
}

// given returns the paths that are set.
func given(paths ...string) (set []string) {
	for _, path := range paths {
		if path != "" {
			set = append(set, path)
		}
	}
	return set
}

// clientTLS makes a configuration from the contents of the files that are set: authorities,
// a certificate, and its key.
func clientTLS(ca, cert string, contents [][]byte) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		var err error
		if config.RootCAs, err = authorities(ca, contents[0]); err != nil {
			return nil, err
		}
		contents = contents[1:]
	}
	if cert != "" {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("the certificate %s and its key: %w", cert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func checkPair(prefix, cert, key, clientCA string) error {
	certFlag, keyFlag, clientFlag := prefix+"-cert-file", prefix+"-key-file", prefix+"-client-ca-file"
	if (cert == "") != (key == "") {
		return fmt.Errorf("--%s (%s) and --%s (%s) belong together: set both or none", certFlag, variable(certFlag), keyFlag, variable(keyFlag))
	}
	if clientCA != "" && cert == "" {
		return fmt.Errorf("--%s (%s) is set without --%s (%s)", clientFlag, variable(clientFlag), certFlag, variable(certFlag))
	}
	return nil
}

// ServerTLS reads the files of a listener and returns the configuration for new connections,
// or nil if there is no certificate. Changes of the files take effect with the next
// connection; a change that can't be used goes to report, and the previous content stays in
// effect. It returns an error if the files can't be used now.
func ServerTLS(cert, key, clientCA string, report func(error)) (func() *tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	paths := []string{cert, key}
	if clientCA != "" {
		paths = append(paths, clientCA)
	}
	config, err := reload.Open(func(contents [][]byte) (*tls.Config, error) {
		pair, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			return nil, fmt.Errorf("the certificate %s and its key %s: %w", cert, key, err)
		}
		config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
		if clientCA != "" {
			config.ClientAuth = tls.RequireAndVerifyClientCert
			if config.ClientCAs, err = authorities(clientCA, contents[2]); err != nil {
				return nil, err
			}
		}
		return config, nil
	}, report, paths...)
	if err != nil {
		return nil, err
	}
	return config.Get, nil
}
