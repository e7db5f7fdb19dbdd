package folding

import (
	_ "embed"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

//go:embed testdata/folding-1.txt
var golden string

// eachCode calls do with every code point that a text can have.
func eachCode(do func(r rune)) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) {
			do(r)
		}
	}
}

// Another implementation of the normal forms created the golden file, from Unicode's
// CaseFolding.txt.
func TestFoldingOfEveryCodePointNeverChanges(t *testing.T) {
	if Version != 1 {
		t.Fatalf("got version %d, want 1: a new version needs its own golden file", Version)
	}
	want := map[rune]string{}
	for line := range strings.Lines(golden) {
		if line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		var becomes strings.Builder
		for _, field := range fields[1:] {
			becomes.WriteRune(code(t, field))
		}
		want[code(t, fields[0])] = becomes.String()
	}
	if len(want) != 2616 {
		t.Fatalf("got %d lines in the golden file, want 2616", len(want))
	}
	eachCode(func(r rune) {
		expected, changed := want[r]
		if !changed {
			expected = string(r)
		}
		if got := Fold(string(r)); got != expected {
			t.Errorf("U+%04X: got %+q, want %+q", r, got, expected)
		}
	})
}

func code(t testing.TB, field string) rune {
	t.Helper()
	n, err := strconv.ParseInt(field, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return rune(n)
}

func TestFold(t *testing.T) {
	long := strings.Repeat("\u0316\u0301", 100) // more consecutive marks than the stream-safe format allows
	sorted := strings.Repeat("\u0316", 100) + strings.Repeat("\u0301", 100)
	for _, same := range [][]string{
		{"John@Example.COM", "john@example.com", "JOHN@EXAMPLE.COM"},
		{"K", "k", "\u212a"},
		{"\u13a0", "\uab70"}, // Cherokee
		{"\u13f0", "\u13f8"},
		{"straße", "STRASSE", "stra\u1e9ee"},
		{"Σ", "σ", "ς"},
		{"ÅNGSTRÖM", "a\u030angstro\u0308m", "\u212bngström"},
		{"\u1fb3\u0360", "\u03b1\u0360\u0345", "\u0391\u0360\u0345"}, // once folded the iota is a letter, so its order matters
		{"\u1fb4", "\u03ac\u0345", "\u03b1\u0301\u0345", "ΆΙ"},
		{"\ufb03", "FFI"},
		{"İ", "i\u0307"},
		{"\u01f0", "J\u030c", "j\u030c"},
		{"각", "\u1100\u1161\u11a8", "\uac00\u11a8"},
		{"e" + long, "E" + sorted},
	} {
		for _, text := range same {
			if got, want := Fold(text), Fold(same[0]); got != want {
				t.Errorf("%+q: got %+q, want %+q as for %+q", text, got, want, same[0])
			}
		}
	}
	for _, other := range [][2]string{{"a", "b"}, {"i", "ı"}, {"I", "İ"}, {"a", "á"}, {"", " "}, {"ﬁ", "f"}, {"\u13a0", "\u13a1"}} {
		if Fold(other[0]) == Fold(other[1]) {
			t.Errorf("%+q and %+q: got the same text, want different ones", other[0], other[1])
		}
	}
}

// check checks the guarantees of both forms for a text.
func check(t rapid.TB, text string) {
	nfc, fold := NFC(text), Fold(text)
	if got := NFC(nfc); got != nfc {
		t.Errorf("NFC of %+q, twice: got %+q, want %+q", text, got, nfc)
	}
	if got := Fold(fold); got != fold {
		t.Errorf("Fold of %+q, twice: got %+q, want %+q", text, got, fold)
	}
	if got := NFC(fold); got != fold {
		t.Errorf("Fold of %+q: got %+q, want it in NFC", text, fold)
	}
	if got := Fold(nfc); got != fold {
		t.Errorf("Fold of the NFC of %+q: got %+q, want %+q", text, got, fold)
	}
	if !streamSafe(text) {
		return // x/text inserts joiners between the marks
	}
	for _, form := range []norm.Form{norm.NFC, norm.NFD} {
		equivalent := form.String(text)
		if got := Fold(equivalent); got != fold {
			t.Errorf("Fold of %+q, which is equivalent to %+q: got %+q, want %+q", equivalent, text, got, fold)
		}
		if got := NFC(equivalent); got != nfc {
			t.Errorf("NFC of %+q, which is equivalent to %+q: got %+q, want %+q", equivalent, text, got, nfc)
		}
	}
	if got := norm.NFC.String(text); got != nfc {
		t.Errorf("NFC of %+q: got %+q, want %+q", text, nfc, got)
	}
}

// streamSafe reports whether x/text returns Unicode's normal forms for a text.
func streamSafe(text string) bool { return utf8.RuneCountInString(text) <= 15 }

// Each code point is checked alone, after a letter, and between marks. Code points that the
// libraries' version of Unicode has and ours does not are omitted.
func TestCanonicallyEquivalentTextsFoldAlike(t *testing.T) {
	for _, r := range changing() {
		check(t, string(r))
		check(t, "a"+string(r)+"\u0301")
		check(t, "\u1fb3"+string(r)+"\u0345\u0323")
	}
}

// changing returns the code points that a normal form or the folding changes or moves.
func changing() []rune {
	var all []rune
	t := tables()
	eachCode(func(r rune) {
		p := norm.NFD.PropertiesString(string(r))
		known := t.apart[r] != nil || t.class[r] != 0 || t.fold[r] != nil
		if (known || p.Decomposition() != nil || p.CCC() != 0) && !newer(r) {
			all = append(all, r)
		}
	})
	return all
}

// newer reports whether the libraries have properties of a code point that our version of Unicode
// lacks, because it was assigned later.
func newer(r rune) bool {
	p, t := norm.NFD.PropertiesString(string(r)), tables()
	return p.CCC() != t.class[r] || (p.Decomposition() != nil) != (len(t.decompose(nil, r)) > 1 || t.apart[r] != nil)
}

func TestMixedTexts(t *testing.T) {
	pool := append(changing(), 'a', 'A', 0x1100, 0x1161, 0x11a8, 0x3b1, 0x34f, utf8.MaxRune)
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.SampledFrom(pool), 0, 15).Draw(t, "text"))
		check(t, text)
	})
}

// FuzzFold checks any text, with any number of marks.
func FuzzFold(f *testing.F) {
	for _, seed := range []string{"", "Ab", "\u13a0\uab70", "\u03b1\u0360\u0345", strings.Repeat("\u0345\u0301", 40), "\xff", "ẞ각"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fold := Fold(text)
		if got := Fold(fold); got != fold {
			t.Errorf("%+q, twice: got %+q, want %+q", text, got, fold)
		}
		if got := Fold(NFC(text)); got != fold {
			t.Errorf("the NFC of %+q: got %+q, want %+q", text, got, fold)
		}
		if !utf8.ValidString(fold) {
			t.Errorf("%+q: got %+q, want UTF-8", text, fold)
		}
	})
}

func BenchmarkFold(b *testing.B) {
	for name, text := range map[string]string{"ascii": "John.Doe@example.com", "latin": "Jürgen.Müller@example.com", "greek": strings.Repeat("Ὀδυσσεύς ", 10)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Fold(text)
			}
		})
	}
}
