package cluster

import (
	"strings"
	"testing"
)

// Service returns a command or query service with the given settings. The data folder, the
// addresses and the node's name are set. The service is not started.
func Service(t testing.TB, role, name string, settings map[string]string) *Process {
	t.Helper()
	api, admin := Address(t), Address(t)
	env := map[string]string{
		"CLUSTERLITE_HTTP_ADDR": api, "CLUSTERLITE_ADMIN_ADDR": admin,
		"CLUSTERLITE_DATA_DIR": t.TempDir(), "CLUSTERLITE_NODE_ID": name,
	}
	for variable, value := range settings {
		env[variable] = value
	}
	p := newProcess(t, name, Binary(t, "clusterlite-"+role), env)
	p.URL, p.Admin = "http://"+api, "http://"+admin
	return p
}

// Encrypted returns an all-in-one process whose listeners use TLS, according to the given
// settings. The process is not started.
func Encrypted(t testing.TB, settings map[string]string) *Process {
	t.Helper()
	api, admin := Address(t), Address(t)
	env := map[string]string{"CLUSTERLITE_HTTP_ADDR": api, "CLUSTERLITE_ADMIN_ADDR": admin, "CLUSTERLITE_DATA_DIR": t.TempDir()}
	for variable, value := range settings {
		env[variable] = value
	}
	p := newProcess(t, "serve", Binary(t, "clusterlite"), env, "serve")
	p.URL, p.Admin = "https://"+api, "https://"+admin
	return p
}

// ServeWith describes one process with everything, by settings of its own. It is not started
// yet.
func ServeWith(t testing.TB, settings map[string]string) *Process {
	t.Helper()
	with := map[string]string{"CLUSTERLITE_KAFKA_LISTEN": Address(t)}
	for variable, value := range settings {
		with[variable] = value
	}
	p := Encrypted(t, with)
	p.URL, p.Admin = "http"+strings.TrimPrefix(p.URL, "https"), "http"+strings.TrimPrefix(p.Admin, "https")
	return p
}
