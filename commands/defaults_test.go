package commands_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// POST, PUT and imports store defaults. PATCH adds none.
func TestDefaultsAreStored(t *testing.T) {
	s := serveDeclared(t, map[string]string{"tasks": `{"title":"tasks","type":"object","required":["title","state"],"additionalProperties":false,"properties":{
		"title":{"type":"string"},"state":{"type":"string","default":"open"},"size":{"type":"integer","default":1,"x-unique":true},
		"owner":{"type":"object","properties":{"team":{"type":"string","default":"core"}}}}}`})
	members := func(what string, status, want int, answer []byte) (id, rest string) {
		t.Helper()
		var entity struct{ ID string }
		_, after, _ := strings.Cut(string(answer), `"updated_at":"`)
		_, rest, _ = strings.Cut(after, `",`)
		if err := json.Unmarshal(answer, &entity); err != nil || status != want {
			t.Fatalf("%s: got %d %s, want %d", what, status, answer, want)
		}
		return entity.ID, rest
	}
	status, answer := s.do(t, "POST", "/tasks", "application/json", `{"title":"a","owner":{}}`)
	id, got := members("POST", status, 201, answer)
	if want := `"title":"a","owner":{"team":"core"},"state":"open","size":1}`; got != want {
		t.Errorf("POST: got %s, want %s", got, want)
	}
	if status, answer = s.do(t, "POST", "/tasks", "application/json", `{"title":"b"}`); status != 409 {
		t.Errorf("the default of a unique property is taken: got %d %s, want 409", status, answer)
	}
	status, answer = s.do(t, "PATCH", "/tasks/"+id, "application/json", `{"size":null,"owner":null}`)
	if _, got = members("PATCH", status, 200, answer); got != `"title":"a","state":"open"}` {
		t.Errorf("PATCH: got %s, want the members removed", got)
	}
	status, answer = s.do(t, "PATCH", "/tasks/"+id, "application/json", `{"state":null}`)
	if status != 422 {
		t.Errorf("PATCH removes a required member: got %d %s, want 422", status, answer)
	}
	status, answer = s.do(t, "PUT", "/tasks/"+id, "application/json", `{"title":"c","state":"done"}`)
	if _, got = members("PUT", status, 200, answer); got != `"title":"c","state":"done","size":1}` {
		t.Errorf("PUT: got %s, want its defaults", got)
	}
	status, answer = s.do(t, "POST", "/tasks", "application/x-ndjson", `{"title":"d","size":2}`+"\n"+`{"title":"e"}`+"\n")
	if status != 200 || !strings.Contains(string(answer), `{"line":1,"status":201,`) || !strings.Contains(string(answer), `{"line":2,"status":409,`) {
		t.Errorf("import: got %d %s, want line 1 created and line 2 rejected for the default", status, answer)
	}
}

func TestDefaultsHaveTheBoundsOfABody(t *testing.T) {
	s := serveDeclared(t, map[string]string{"tasks": `{"title":"tasks","type":"object","properties":{"l":{"items":{"properties":{"s":{"default":"` + strings.Repeat("x", 5000) + `"}}}}}}`})
	body := `{"l":[` + strings.Repeat("{},", 250) + `{}]}`
	if status, answer := s.do(t, "POST", "/tasks", "application/json", body); status != 413 {
		t.Errorf("POST: got %d %.300s, want 413", status, answer)
	}
	if status, answer := s.do(t, "POST", "/tasks", "application/x-ndjson", "{}\n"+body+"\n{}\n"); status != 200 || !strings.Contains(string(answer), `{"line":2,"status":413,`) || strings.Count(string(answer), `"status":201`) != 2 {
		t.Errorf("import: got %d %.300s, want 413 for line 2", status, answer)
	}
}
