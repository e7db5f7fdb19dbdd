package settings

import (
	"fmt"
	"strings"
)

// Auth says who may use the API.
type Auth struct {
	APIKeys  bool   `name:"auth-keys" env:"CLUSTERLITE_AUTH_KEYS" help:"Accept API keys, which operators create with clusterlite keys. Clients must then send a key, or a token if --auth-jwks is set."`
	Keys     string `name:"auth-jwks" env:"CLUSTERLITE_AUTH_JWKS" placeholder:"URL|FILE" help:"Keys (JWKS) of the identity provider whose tokens clients must send, as a URL or a file. Default: none; without --auth-keys everybody may do everything."`
	Issuer   string `name:"auth-issuer" env:"CLUSTERLITE_AUTH_ISSUER" placeholder:"URL" help:"Issuer (iss) that tokens must have. Default: any."`
	Audience string `name:"auth-audience" env:"CLUSTERLITE_AUTH_AUDIENCE" placeholder:"NAME" help:"Audience (aud) that tokens must have. Default: any."`
	Roles    string `name:"auth-roles-claim" env:"CLUSTERLITE_AUTH_ROLES_CLAIM" default:"roles" placeholder:"NAME" help:"Claim of tokens with the roles of the client: a name, or a path with dots such as realm_access.roles (default ${default})."`
}

// maxClaimName bounds the length of the name of a claim in bytes.
const maxClaimName = 256

// CheckSettings is called by the parser.
func (a *Auth) CheckSettings() error {
	for _, f := range []struct{ flag, value string }{{"auth-issuer", a.Issuer}, {"auth-audience", a.Audience}} {
		if f.value != "" && a.Keys == "" {
			return fmt.Errorf("--%s (%s) is set without --auth-jwks (CLUSTERLITE_AUTH_JWKS)", f.flag, variable(f.flag))
		}
	}
	if strings.TrimSpace(a.Roles) != a.Roles || a.Roles == "" || len(a.Roles) > maxClaimName {
		return bad("auth-roles-claim", a.Roles, "the name of a claim, such as roles, or a path such as realm_access.roles")
	}
	return nil
}

// Required reports whether clients must authenticate.
func (a *Auth) Required() bool { return a.Keys != "" || a.APIKeys }
