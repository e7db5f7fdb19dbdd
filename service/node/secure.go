package node

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/auth"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// secure reads the files for the encryption of the listeners and for the credentials of
// operators. An error names the listener, and nothing has been started.
func (n *Node) secure() (err error) {
	if n.apiTLS, err = n.HTTP.TLS.Server(n.unusable); err != nil {
		return fmt.Errorf("the TLS files of the API: %w", err)
	}
	if n.adminTLS, err = n.AdminTLS.Server(n.unusable); err != nil {
		return fmt.Errorf("the TLS files of the admin listener: %w", err)
	}
	client, err := n.AdminTLS.Client(n.unusable)
	if err != nil {
		return err
	}
	token, err := n.AdminTLS.Secret(n.unusable)
	if err != nil {
		return err
	}
	n.operators = admin.Operators{Token: token, Certificates: n.AdminTLS.ClientCAFile != ""}
	n.access = admin.Access{TLS: client, Token: token}
	return n.authenticate()
}

// authenticate prepares to verify the tokens of clients, if they need one.
func (n *Node) authenticate() error {
	if !n.Auth.Required() {
		n.Logger.Info("the API requires no authentication: any client that reaches it can read and write everything; see CLUSTERLITE_AUTH_JWKS")
		return nil
	}
	verifier, err := auth.New(auth.Options{
		Keys: n.Auth.Keys, Issuer: n.Auth.Issuer, Audience: n.Auth.Audience, RolesClaim: n.Auth.Roles,
		Open: contract.Open, Logger: n.Logger,
	})
	if err != nil {
		return fmt.Errorf("--auth-jwks (CLUSTERLITE_AUTH_JWKS): %w", err)
	}
	n.callers = verifier.Identify
	return nil
}

// unusable logs that a file of the settings was replaced with content that can't be used.
func (n *Node) unusable(err error) {
	n.Logger.Warn("a file of the settings can't be used", "error", err)
}

// checkAccess stops the node if the brokers reject its credentials or its certificate when it
// starts, or if it rejects theirs: waiting would not help. Later it is a fault of the brokers
// like any other.
func (n *Node) checkAccess(ctx context.Context) error {
	if err := n.Log.CheckAccess(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
