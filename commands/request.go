package commands

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// readDocument reads a complete document from the body, for Create and Replace. The error is a
// problem.
func readDocument(c echo.Context, command *Command) error {
	if _, err := negotiation.ContentType(c.Request(), contract.JSON); err != nil {
		return err
	}
	body, err := web.ReadBody(c)
	if err != nil {
		return err
	}
	if command.Document, err = parseBody(body, command.ID); err != nil {
		return err
	}
	if err := complete(command); err != nil {
		return err
	}
	*command = keyed(c, *command, body)
	return nil
}

// complete adds the default values to the document of a Create, Replace or Restore, and validates
// the result. A Replace or Restore that keeps members is validated with them, when it is decided. The error is a
// problem.
func complete(command *Command) (err error) {
	switch command.Action {
	case Create:
		if command.Document, err = command.Asker.setDefaults(command.Document); err != nil {
			return err
		}
	case Replace, Restore:
		command.Kept = command.Asker.kept(command.Document)
	}
	command.Document, err = command.Collection.Complete(command.Document, command.MaxDocument)
	switch {
	case errors.Is(err, collections.ErrDefaultsTooLarge):
		return problem.BodyTooLarge.New(fmt.Sprintf("With the default values of its collection, the document would exceed the maximum of %d bytes. Nothing was written.", command.MaxDocument))
	case err != nil:
		return problem.InvalidDocument.Because(err, "With the default values of its collection, the document would be "+err.Error()+".")
	}
	if len(command.Kept) > 0 {
		return nil
	}
	if violations := command.Collection.Validate(command.Document.Value()); len(violations) > 0 {
		return invalid("The document violates the schema of "+command.Collection.Name()+".", violations)
	}
	return nil
}

// readPatch reads a merge patch from the body. The error is a problem.
func readPatch(c echo.Context, command *Command) error {
	if _, err := negotiation.ContentType(c.Request(), contract.Entity.Accepts[http.MethodPatch]...); err != nil {
		return err
	}
	body, err := web.ReadBody(c)
	if err != nil {
		return err
	}
	d, err := parseBody(body, command.ID)
	command.Patch = d.Bytes()
	*command = keyed(c, *command, body)
	return err
}

// readRestore reads the version to restore from the body. The error is a problem.
func readRestore(c echo.Context) (version int64, body []byte, err error) {
	if _, err := negotiation.ContentType(c.Request(), contract.Restore.Accepts[http.MethodPost]...); err != nil {
		return 0, nil, err
	}
	if body, err = web.ReadBody(c); err != nil {
		return 0, nil, err
	}
	var syntax *jsontext.SyntacticError
	var asked struct {
		Version int64 `json:"version"`
	}
	switch err := json.Unmarshal(body, &asked, json.RejectUnknownMembers(true)); {
	case errors.As(err, &syntax):
		return 0, nil, problem.MalformedRequest.New("The body is not JSON.")
	case err != nil || asked.Version < 1:
		return 0, nil, problem.InvalidDocument.New(`The body must be an object such as {"version": 3}.`).
			With(problem.FieldError{Pointer: "/version", Detail: "must be an integer of at least 1"})
	}
	return asked.Version, body, nil
}

// keyed adds the hash of the request if the client sent an idempotency key.
func keyed(c echo.Context, command Command, body []byte) Command {
	if command.IdempotencyKey != "" {
		command.RequestHash = HashRequest(c.Request().Method, c.Request().URL.Path, body)
	}
	return command
}

// parseBody parses a body and checks that its id, if any, is the given one. An empty id allows
// any. The error is a problem.
func parseBody(body []byte, id string) (document.Document, error) {
	d, err := document.Parse(body)
	if err != nil {
		return d, unparsable(err)
	}
	if given, has := d.ID(); has && id != "" && given != id {
		return d, problem.InvalidDocument.New("The id in the body differs from the id in the path.").
			With(problem.FieldError{Pointer: "/id", Detail: "must equal the id in the path or be omitted"})
	}
	return d, nil
}

// unparsable returns the problem for an error of [document.Parse].
func unparsable(err error) *problem.Problem {
	var number *document.NumberError
	switch {
	case errors.As(err, &number):
		return invalid("The document contains a number that is too large or too long.", outOfBounds(number))
	case errors.Is(err, document.ErrSyntax):
		return problem.MalformedRequest.New("The body is " + err.Error() + ".")
	}
	return problem.InvalidDocument.New("The body is " + err.Error() + ".")
}

// outOfBounds turns the error of a number into a violation.
func outOfBounds(e *document.NumberError) []collections.Violation {
	return []collections.Violation{{Pointer: e.Pointer, Detail: e.Reason}}
}

func invalid(detail string, violations []collections.Violation) *problem.Problem {
	p := problem.InvalidDocument.New(detail)
	for _, v := range violations {
		p.Errors = append(p.Errors, problem.FieldError{Pointer: v.Pointer, Detail: v.Detail})
	}
	return p
}

// checkHeaders rejects header fields that this version does not support. To ignore them would
// break a promise that the client relies on. The error is a problem.
func checkHeaders(r *http.Request) error {
	for _, name := range []string{"If-None-Match", "If-Unmodified-Since"} {
		if r.Header.Get(name) != "" {
			return problem.MalformedRequest.New(fmt.Sprintf("%s is not supported on %s. Nothing was written. Remove the header field.", name, r.Method))
		}
	}
	return nil
}
