// Package coffer_test holds the shape of the whole repository: who may import whom, and the habits that a parser can judge.
package coffer_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/coffer-backup/coffer"

// A ring is one row of the table of who may import whom. The first row whose folder holds a package is the package's row.
type ring struct {
	// folder is a path prefix; a last element of * stands for any one folder, so that each is a stage of its own.
	folder string
	// ours lists the folders of this module that may be imported, beside the stage itself. See everything.
	ours []string
	// outside lists the modules that may be imported beside the standard library; nil is any.
	outside []string
	// pure packages decide: no context, clock, client, logger, randomness or goroutine.
	pure bool
}

var (
	nouns      = []string{"internal/coffer", "internal/format", "internal/catalogue"}
	decisions  = append(slices.Clone(nouns), "internal/decide", "api/crd", "api/arm", "api/link")
	everything = []string{"api", "deploy", "internal"}
)

// rings is the architecture: towards the nouns, never back, never sideways. Tests may import what they like.
var rings = []ring{
	{folder: "api", ours: []string{"api"}},
	{folder: "internal/coffer", outside: []string{"k8s.io/apimachinery", "github.com/go-json-experiment/json"}},
	{folder: "internal/format", ours: nouns},
	{folder: "internal/catalogue", ours: nouns},
	{folder: "internal/decide", ours: decisions, pure: true},
	{folder: "internal/flow", ours: append(slices.Clone(decisions), "internal/flow")},
	{folder: "internal/inbound/*", ours: append(slices.Clone(decisions), "internal/flow", "api")},
	{folder: "internal/outbound/*", ours: append(slices.Clone(decisions), "api")},
	{folder: "deploy"},
	{folder: "cmd/*", ours: everything},
	{folder: "test", ours: append(slices.Clone(everything), "test")},
}

// elsewhere lists nested modules: they have their own rings, but the same habits.
var elsewhere = []string{"lab", "hack"}

// impure lists what a pure package must not import, nor anything below it but pureBelow.
var impure = []string{
	"context", "crypto/rand", "log", "math/rand", "net", "os", "syscall",
	"k8s.io/client-go", "k8s.io/klog", "k8s.io/apimachinery/pkg/util/wait", "sigs.k8s.io/controller-runtime", "github.com/go-logr",
}

var pureBelow = []string{"net/netip", "net/url"}

// clock lists what of package time is not a value but the clock.
var clock = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTicker", "NewTimer", "Sleep", "Tick"}

var aliases = map[string]string{
	"k8s.io/api/core/v1":                   "corev1",
	"k8s.io/apimachinery/pkg/apis/meta/v1": "metav1",
	"k8s.io/apimachinery/pkg/api/errors":   "apierrors",
	"sigs.k8s.io/controller-runtime":       "ctrl",
}

var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "types", "shared", "base", "misc"}

var (
	todo   = regexp.MustCompile(`(^|[^.\w])(TODO|FIXME)\b`)
	issued = regexp.MustCompile(`(TODO|FIXME)\(#[0-9]+\)`)
)

// A source is one parsed file of the repository.
type source struct {
	path string
	file *ast.File
	fset *token.FileSet
}

func (s source) folder() string { return path.Dir(s.path) }
func (s source) test() bool     { return strings.HasSuffix(s.path, "_test.go") }
func (s source) main() bool     { return s.file.Name.Name == "main" }

// support is code that only tests use.
func (s source) support() bool {
	return s.test() || within(s.path, "test") || within(s.path, "lab/test")
}

func (s source) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...))
}

func TestTheRepositoryKeepsItsShape(t *testing.T) {
	sources := readTree(t)
	if len(sources) < 50 {
		t.Fatalf("only %d Go files were found: this test looks in the wrong place", len(sources))
	}
	for _, v := range check(sources) {
		t.Error(v)
	}
}

// check returns what is wrong, one line for each place.
func check(sources []source) []string {
	var found []string
	for _, s := range sources {
		found = append(found, comments(s)...)
		if ast.IsGenerated(s.file) {
			continue
		}
		for _, rule := range []func(source) []string{imports, purity, packageName, calls, docs, state} {
			found = append(found, rule(s)...)
		}
	}
	return append(found, packageDocs(sources)...)
}

// imports holds the table of rings, and the fixed aliases.
func imports(s source) []string {
	var found []string
	row, stage := ringOf(s.folder())
	nested := slices.ContainsFunc(elsewhere, func(m string) bool { return within(s.path, m) })
	if row == nil && !nested && !s.test() {
		return []string{s.at(s.file, "%s is in no ring: give it a row in the table of arch_test.go", s.folder())}
	}
	for _, spec := range s.file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if want := aliases[imported]; want != "" && (spec.Name == nil || spec.Name.Name != want && spec.Name.Name != "_") {
			found = append(found, s.at(spec, "import %s as %s", imported, want))
		}
		if spec.Name != nil && spec.Name.Name == "." {
			found = append(found, s.at(spec, "import %s under a name", imported))
		}
		if row == nil || nested || s.test() {
			continue
		}
		if !row.allows(stage, imported) {
			found = append(found, s.at(spec, "%s must not import %s: see the table of rings in arch_test.go", stage, imported))
		}
	}
	return found
}

// ringOf returns the row of a folder, and the stage that the folder belongs to; nil for none.
func ringOf(folder string) (*ring, string) {
	for i := range rings {
		prefix, each := strings.CutSuffix(rings[i].folder, "/*")
		if !within(folder, prefix) || each && folder == prefix {
			continue
		}
		if each {
			name, _, _ := strings.Cut(strings.TrimPrefix(folder, prefix+"/"), "/")
			return &rings[i], prefix + "/" + name
		}
		return &rings[i], prefix
	}
	return nil, ""
}

func (r *ring) allows(stage, imported string) bool {
	local, ours := strings.CutPrefix(imported, module+"/")
	if ours {
		return within(local, stage) || slices.ContainsFunc(r.ours, func(f string) bool { return within(local, f) })
	}
	standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
	return standard || r.outside == nil || slices.ContainsFunc(r.outside, func(f string) bool { return within(imported, f) })
}

// purity holds that what decides is a function of its arguments.
func purity(s source) []string {
	row, stage := ringOf(s.folder())
	if row == nil || !row.pure || s.test() {
		return nil
	}
	var found []string
	for _, spec := range s.file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if slices.ContainsFunc(impure, func(p string) bool { return within(imported, p) }) && !slices.Contains(pureBelow, imported) {
			found = append(found, s.at(spec, "%s is pure and must not import %s", stage, imported))
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			found = append(found, s.at(g, "%s is pure and must not start a goroutine", stage))
		}
		return true
	})
	s.uses("time", clock, func(n ast.Node, name string) {
		found = append(found, s.at(n, "%s is pure and must not ask the clock (time.%s): take the time as an argument", stage, name))
	})
	return found
}

// uses calls visit for each use of one of the names of an imported package, under whatever name it was imported.
func (s source) uses(imported string, names []string, visit func(n ast.Node, name string)) {
	local := ""
	for _, spec := range s.file.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == imported {
			local = path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// An identifier that the parser could resolve is a variable of the same name.
		if x, ok := selector.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil && slices.Contains(names, selector.Sel.Name) {
			visit(selector, selector.Sel.Name)
		}
		return true
	})
}

// calls holds where the root context and a sleep may be.
func calls(s source) []string {
	var found []string
	if !s.support() && !s.main() {
		s.uses("context", []string{"Background", "TODO"}, func(n ast.Node, name string) {
			found = append(found, s.at(n, "context.%s outside of main and tests: take a context as an argument", name))
		})
	}
	if s.support() {
		s.uses("time", []string{"Sleep"}, func(n ast.Node, _ string) {
			found = append(found, s.at(n, "time.Sleep in a test: wait for a condition"))
		})
	}
	return found
}

func packageName(s source) []string {
	for _, name := range []string{s.file.Name.Name, path.Base(s.folder())} {
		if slices.Contains(emptyNames, strings.TrimSuffix(name, "_test")) {
			return []string{s.at(s.file, "a package named %s says nothing: name it after its concept", name)}
		}
	}
	return nil
}

// packageDocs holds that each package says in a sentence what it is for.
func packageDocs(sources []source) []string {
	first := map[string]source{}
	said := map[string]bool{}
	var found []string
	for _, s := range sources {
		if s.test() {
			continue
		}
		folder := s.folder()
		if _, ok := first[folder]; !ok {
			first[folder] = s
		}
		if s.file.Doc == nil {
			continue
		}
		said[folder] = true
		opening := "Package " + s.file.Name.Name + " "
		if s.main() {
			opening = "Command "
		}
		sentence, _, _ := strings.Cut(s.file.Doc.Text(), "\n\n")
		if !strings.HasPrefix(sentence, opening) || !strings.Contains(sentence+"\n", ".\n") && !strings.Contains(sentence, ". ") {
			found = append(found, s.at(s.file, "the package comment does not begin with a sentence '%s...'", opening))
		}
	}
	for folder, s := range first {
		if !said[folder] {
			found = append(found, s.at(s.file, "package %s has no comment that says what it is for", s.file.Name.Name))
		}
	}
	slices.Sort(found)
	return found
}

// docs holds that what is exported says what it promises.
func docs(s source) []string {
	if s.test() {
		return nil
	}
	var found []string
	missing := func(n ast.Node, name string, comments ...*ast.CommentGroup) {
		if ast.IsExported(name) && !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c.Text() != "" }) {
			found = append(found, s.at(n, "%s is exported and has no comment", name))
		}
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type)) {
				missing(d, d.Name.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					missing(spec, spec.Name.Name, d.Doc, spec.Doc, spec.Comment)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						missing(spec, name.Name, d.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return found
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// state holds that packages keep none: no init, and no variable that waits for its value. Embedded files wait for nobody.
func state(s source) []string {
	if s.test() {
		return nil
	}
	var found []string
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				found = append(found, s.at(d, "init is hidden wiring: construct in main"))
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if ok && d.Tok == token.VAR && len(v.Values) == 0 && !embeds(d.Doc) && !embeds(v.Doc) {
					found = append(found, s.at(v, "%s is state of a package: put it in a value that is passed", v.Names[0].Name))
				}
			}
		}
	}
	return found
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// comments holds that what is left to do can be found in the issues.
func comments(s source) []string {
	var found []string
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			for line := range strings.Lines(c.Text) {
				if todo.MatchString(line) && !issued.MatchString(line) {
					found = append(found, s.at(c, "a note of what is to do names its issue, as in TODO(#12): %s", strings.TrimSpace(line)))
				}
			}
		}
	}
	return found
}

// within says whether a path is a folder or below it.
func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

// readTree parses every Go file of the repository, nested modules and files behind build tags included.
func readTree(t *testing.T) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"build", "node_modules", "testdata", "vendor"}, name)) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".go") {
			sources = append(sources, mustParse(t, filepath.ToSlash(p), nil))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func mustParse(t *testing.T, p string, text any) source {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, p, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: p, file: file, fset: fset}
}

func TestEachRuleCatchesWhatItForbids(t *testing.T) {
	for _, c := range []struct {
		name, path, text string
		// want is part of the one violation there is; empty for none.
		want string
	}{
		{"a noun imports a rule", "internal/coffer/a.go", `package coffer; import _ "` + module + `/internal/decide/plan"`, "internal/coffer must not import"},
		{"a noun imports a client", "internal/coffer/a.go", `package coffer; import _ "k8s.io/client-go/rest"`, "internal/coffer must not import k8s.io/client-go/rest"},
		{"a noun imports apimachinery", "internal/coffer/a.go", `package coffer; import _ "k8s.io/apimachinery/pkg/labels"`, ""},
		{"a noun imports the format", "internal/coffer/a.go", `package coffer; import _ "` + module + `/internal/format/archive"`, "must not import"},
		{"the format imports a noun", "internal/format/archive/a.go", `package archive; import _ "` + module + `/internal/coffer"`, ""},
		{"a wire type imports a noun", "api/crd/v1alpha1/a.go", `package v1alpha1; import _ "` + module + `/internal/coffer"`, "api must not import"},
		{"a wire type imports another", "api/arm/a.go", `package arm; import _ "` + module + `/api/crd/v1alpha1"`, ""},
		{"a rule imports a flow", "internal/decide/plan/a.go", `package plan; import _ "` + module + `/internal/flow"`, "internal/decide must not import"},
		{"a rule imports ARM's types", "internal/decide/retention/a.go", `package retention; import _ "` + module + `/api/arm"`, ""},
		{"a rule imports what a reader answers", "internal/decide/plan/a.go", `package plan; import _ "` + module + `/api/content"`, "internal/decide must not import"},
		{"a flow imports a store", "internal/flow/a.go", `package flow; import _ "` + module + `/internal/outbound/blob"`, "internal/flow must not import"},
		{"a flow's test imports a store", "internal/flow/a_test.go", `package flow; import _ "` + module + `/internal/outbound/blob"`, ""},
		{"one inbound stage imports another", "internal/inbound/cli/a.go", `package cli; import _ "` + module + `/internal/inbound/arm"`, "internal/inbound/cli must not import"},
		{"an inbound stage imports itself", "internal/inbound/cli/table/a.go", `package table; import _ "` + module + `/internal/inbound/cli"`, ""},
		{"an inbound stage imports an outbound one", "internal/inbound/cli/a.go", `package cli; import _ "` + module + `/internal/outbound/kube"`, "must not import"},
		{"an outbound stage imports a flow", "internal/outbound/kube/a.go", `package kube; import _ "` + module + `/internal/flow"`, "internal/outbound/kube must not import"},
		{"an outbound stage imports another", "internal/outbound/kube/a.go", `package kube; import _ "` + module + `/internal/outbound/csi"`, "must not import"},
		{"a program imports test support", "cmd/coffer/a.go", `package main; import _ "` + module + `/test/objects"`, "cmd/coffer must not import"},
		{"a program wires", "cmd/coffer/a.go", `package main; import _ "` + module + `/internal/inbound/cli"`, ""},
		{"a program imports another", "cmd/coffer/a.go", `package main; import _ "` + module + `/cmd/coffer-server/x"`, "must not import"},
		{"a package outside of the table", "internal/stray/a.go", `package stray`, "internal/stray is in no ring"},
		{"a similar name is another folder", "internal/coffers/a.go", `package coffers`, "is in no ring"},

		{"a rule takes a context", "internal/decide/plan/a.go", `package plan; import _ "context"`, "is pure and must not import context"},
		{"a rule logs", "internal/decide/plan/a.go", `package plan; import _ "log/slog"`, "must not import log/slog"},
		{"a rule is random", "internal/decide/plan/a.go", `package plan; import _ "math/rand/v2"`, "must not import math/rand/v2"},
		{"a rule reads files", "internal/decide/plan/a.go", `package plan; import _ "os"`, "must not import os"},
		{"a rule calls out", "internal/decide/plan/a.go", `package plan; import _ "net/http"`, "must not import net/http"},
		{"a rule has a client", "internal/decide/plan/a.go", `package plan; import _ "sigs.k8s.io/controller-runtime/pkg/client"`, "must not import sigs.k8s.io"},
		{"a rule reads a URL", "internal/decide/plan/a.go", `package plan; import _ "net/url"`, ""},
		{"a rule asks the clock", "internal/decide/plan/a.go", `package plan; import "time"; func f() time.Time { return time.Now() }`, "time.Now"},
		{"a rule asks the clock by another name", "internal/decide/plan/a.go", `package plan; import t "time"; func f() t.Duration { return t.Since(t.Time{}) }`, "time.Since"},
		{"a rule keeps the clock for later", "internal/decide/plan/a.go", `package plan; import "time"; var now = time.Now`, "time.Now"},
		{"a rule adds up times", "internal/decide/plan/a.go", `package plan; import "time"; func f(t time.Time) time.Time { return t.Add(time.Hour) }`, ""},
		{"a variable that is called time", "internal/decide/plan/a.go", `package plan; import _ "time"; func f(time interface{ Now() int }) int { return time.Now() }`, ""},
		{"a rule starts a goroutine", "internal/decide/plan/a.go", `package plan; func f() { go f() }`, "goroutine"},
		{"a flow starts a goroutine", "internal/flow/a.go", `package flow; func f() { go f() }`, ""},

		{"a root context in a flow", "internal/flow/a.go", `package flow; import "context"; var _ = context.Background()`, "context.Background outside"},
		{"an undecided context in a flow", "internal/flow/a.go", `package flow; import "context"; var _ = context.TODO()`, "context.TODO outside"},
		{"a root context in main", "cmd/coffer/a.go", `package main; import "context"; var _ = context.Background()`, ""},
		{"a root context in a test", "internal/flow/a_test.go", `package flow; import "context"; var _ = context.Background()`, ""},
		{"a sleep in a test", "internal/flow/a_test.go", `package flow; import "time"; func f() { time.Sleep(1) }`, "time.Sleep in a test"},
		{"a sleep in a test of the lab", "lab/internal/node/a_test.go", `package node; import "time"; func f() { time.Sleep(1) }`, "time.Sleep in a test"},
		{"a sleep in test support", "test/shop/a.go", `package shop; import "time"; func f() { time.Sleep(1) }`, "time.Sleep in a test"},

		{"an empty name", "internal/flow/util/a.go", `package util`, "a package named util says nothing"},
		{"an empty name of a test", "internal/flow/util_test.go", `package common_test`, "a package named common_test says nothing"},
		{"no alias", "internal/flow/a.go", `package flow; import _ "k8s.io/api/apps/v1"; import "k8s.io/api/core/v1"`, "import k8s.io/api/core/v1 as corev1"},
		{"another alias", "internal/flow/a.go", `package flow; import kerrors "k8s.io/apimachinery/pkg/api/errors"`, "as apierrors"},
		{"the right alias", "internal/flow/a.go", `package flow; import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"`, ""},
		{"the framework's alias", "cmd/coffer/a.go", `package main; import "sigs.k8s.io/controller-runtime"`, "as ctrl"},
		{"an import without a name", "internal/flow/a.go", `package flow; import . "strings"`, "import strings under a name"},
		{"a function without a comment", "internal/flow/a.go", `package flow; func F() {}`, "F is exported"},
		{"a method without a comment", "internal/flow/a.go", "package flow\n// T is.\ntype T[K any] struct{}\nfunc (*T[K]) M() {}", "M is exported"},
		{"a method of something private", "internal/flow/a.go", `package flow; type t struct{}; func (t) String() string { return "" }`, ""},
		{"a type without a comment", "internal/flow/a.go", `package flow; type T int`, "T is exported"},
		{"a constant without a comment", "internal/flow/a.go", `package flow; const C = 1`, "C is exported"},
		{"constants with a comment of the group", "internal/flow/a.go", "package flow\n// Colours.\nconst (\nA = 1\nB = 2\n)", ""},
		{"generated code", "api/crd/v1alpha1/zz.go", "// Code generated by a tool. DO NOT EDIT.\n\npackage v1alpha1\nfunc F() {}\nfunc init() {}", ""},
		{"hidden wiring", "internal/flow/a.go", `package flow; func init() {}`, "init is hidden wiring"},
		{"a variable without a value", "internal/flow/a.go", `package flow; var cache map[string]int`, "cache is state"},
		{"an embedded file", "internal/flow/a.go", "package flow\n//go:embed a.txt\nvar text string", ""},
		{"a loose end", "internal/flow/a.go", "package flow\n// TODO: later", "names its issue"},
		{"a loose end in a block", "internal/flow/a_test.go", "package flow\n/* one\nFIXME two */", "names its issue"},
		{"a loose end with an issue", "internal/flow/a.go", "package flow\n// TODO(#7): later", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sources := []source{mustParse(t, c.path, c.text)}
			if !sources[0].test() {
				sources = append(sources, mustParse(t, path.Dir(c.path)+"/doc.go", packageComment(sources[0])))
			}
			expect(t, check(sources), c.want)
		})
	}
}

// packageComment returns a file that has nothing but the comment of a source's package.
func packageComment(s source) string {
	name := s.file.Name.Name
	if name == "main" {
		return "// Command x does one thing.\npackage main"
	}
	return fmt.Sprintf("// Package %s does one thing.\npackage %s", name, name)
}

func expect(t *testing.T, got []string, want string) {
	t.Helper()
	// The same place may be named by a rule once for each file of its package.
	got = slices.CompactFunc(got, func(a, b string) bool { return strings.SplitN(a, ": ", 2)[1] == strings.SplitN(b, ": ", 2)[1] })
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("got %q, want nothing", got)
	case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		t.Errorf("got %q, want one with %q", got, want)
	}
}

func TestEachPackageSaysWhatItIsFor(t *testing.T) {
	for _, c := range []struct{ name, path, text, want string }{
		{"a sentence", "internal/flow/a.go", "// Package flow carries\n// things out.\npackage flow", ""},
		{"sentences", "internal/flow/a.go", "// Package flow carries things out. In order.\n//\n// More\npackage flow", ""},
		{"nothing", "internal/flow/a.go", "package flow", "has no comment"},
		{"a remark", "internal/flow/a.go", "// Carries things out.\npackage flow", "does not begin with"},
		{"half a sentence", "internal/flow/a.go", "// Package flow carries\npackage flow", "does not begin with"},
		{"another package's sentence", "internal/flow/a.go", "// Package flew carries things out.\npackage flow", "does not begin with"},
		{"a program", "cmd/coffer/a.go", "// Command coffer is one.\npackage main", ""},
		{"a program without", "cmd/coffer/a.go", "package main", "has no comment"},
		{"a test", "internal/flow/a_test.go", "package flow_test", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, check([]source{mustParse(t, c.path, c.text)}), c.want)
		})
	}
}
