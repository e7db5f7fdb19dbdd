package diagnostics

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
)

// hidden replaces what must not be shown.
const hidden = "(hidden)"

// Settings returns the settings in a struct, and in the structs within it, by the name of their
// variables. Instead of a secret, the value says that one is set. A setting is a secret if its
// placeholder is SECRET. Passwords within URLs are replaced too.
func Settings(of any) map[string]string {
	all := map[string]string{}
	collect(reflect.ValueOf(of), all)
	return all
}

func collect(v reflect.Value, all map[string]string) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if !field.IsExported() {
			continue
		}
		name := field.Tag.Get("env")
		switch {
		case name == "":
			collect(value, all)
		case value.IsZero():
			all[name] = show(value)
		case field.Tag.Get("placeholder") == "SECRET":
			all[name] = hidden
		default:
			all[name] = show(value)
		}
	}
}

// show formats a value as its flag takes it.
func show(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		var parts []string
		for i := range v.Len() {
			parts = append(parts, show(v.Index(i)))
		}
		return strings.Join(parts, ",")
	}
	return withoutPasswords(fmt.Sprint(v.Interface()))
}

// sensitive matches the names of parameters that may carry a secret.
var sensitive = regexp.MustCompile(`(?i)key|token|secret|password|sig|credential`)

// withoutPasswords hides the user information of a URL, and parameters that may be secrets.
func withoutPasswords(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return hidden // what can't be understood can't be shown
	}
	if u.User != nil {
		u.User = url.User(hidden)
	}
	query := u.Query()
	for name := range query {
		if sensitive.MatchString(name) {
			query.Set(name, hidden)
		}
	}
	if len(query) > 0 {
		u.RawQuery = query.Encode()
	}
	return u.String()
}

// ServeSettings answers with settings.
func ServeSettings(all map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { admin.Answer(w, http.StatusOK, all) }
}
