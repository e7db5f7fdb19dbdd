package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/auth"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/ratelimit"
	"github.com/clusterlite/clusterlite/service/node/keyring"
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

// authenticate prepares to verify the tokens and API keys of clients, if they need one, and
// compiles the access rules of the collections.
func (n *Node) authenticate() error {
	n.keys = &keyring.Ring{Model: func() *projections.Projection { return n.Model }, ReadyLag: n.ReadyLag}
	policies, err := access.Compile(n.Collections)
	if err != nil {
		return err // a mistake in a rule is found even where it has no effect yet
	}
	if !n.Auth.Required() {
		n.warnOfRules()
		n.Logger.Info("the API requires no authentication: any client that reaches it can read and write everything; see CLUSTERLITE_AUTH_JWKS and CLUSTERLITE_AUTH_KEYS")
		return nil
	}
	var keys *apikeys.Verifier
	if n.Auth.APIKeys {
		n.keys.Uses = apikeys.OpenUses(filepath.Join(n.DataDir, keyring.UsesFile), n.Logger)
		if keys, err = apikeys.NewVerifier(n.keys.Find, n.keys.Uses); err != nil {
			return err
		}
	}
	verifier, err := auth.New(auth.Options{
		APIKeys: keys, Keys: n.Auth.Keys, Issuer: n.Auth.Issuer, Audience: n.Auth.Audience, RolesClaim: n.Auth.Roles,
		Open: admits(policies), Logger: n.Logger,
	})
	if err != nil {
		return fmt.Errorf("--auth-jwks (CLUSTERLITE_AUTH_JWKS): %w", err)
	}
	n.callers, n.Access = verifier.Identify, policies
	for collection, members := range policies.Unindexed() {
		n.Logger.Warn("the rule for reading selects entities by members without an index, so lists look at all entities; declare one of them with x-index",
			"collection", collection, "members", members)
	}
	return nil
}

// admits returns a function that reports whether a request without credentials may be let in, by
// its path: to resources without data, to collections whose rules let anonymous callers do
// something, and, if there are any, to the feed of all collections. The handlers then apply the
// rules.
func admits(policies *access.Policies) func(path string) bool {
	return func(path string) bool {
		if contract.Open(path) || path == contract.AllChanges.Path && policies.AdmitAnonymousSomewhere() {
			return true
		}
		collection, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		return policies.AdmitAnonymous(collection)
	}
}

// warnOfRules logs which collections have rules that have no effect.
func (n *Node) warnOfRules() {
	var names []string
	for _, c := range n.Collections.All() {
		if _, has := c.Access(); has {
			names = append(names, c.Name())
		}
	}
	if len(names) > 0 {
		n.Logger.Warn("collections have access rules, but the API requires no authentication, so the rules have no effect", "collections", names)
	}
}

// rateLimits returns the limits of the settings, which have been checked.
func (n *Node) rateLimits() ratelimit.Options {
	o := ratelimit.Options{Anonymous: ratelimit.Limit(n.Rates.Anonymous), Callers: ratelimit.Limit(n.Rates.Callers), Roles: map[string]ratelimit.Limit{}}
	for role, r := range n.Rates.Roles {
		o.Roles[role] = ratelimit.Limit(r)
	}
	for _, text := range n.Rates.Proxies {
		if p, err := ratelimit.ParseProxy(text); err == nil {
			o.Proxies = append(o.Proxies, p)
		}
	}
	return o
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
