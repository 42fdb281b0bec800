package catalog

import "sync"

// Kind is the kind of an object, in the database's own terms.
type Kind string

// The kinds of objects, used in creation order unless dependencies decide (see kinds).
const (
	Schema             Kind = "schema"
	Extension          Kind = "extension"
	AccessMethod       Kind = "access method"
	Language           Kind = "language"
	Collation          Kind = "collation"
	ShellType          Kind = "shell type"
	Enum               Kind = "enum"
	Domain             Kind = "domain"
	Composite          Kind = "composite type"
	Range              Kind = "range type"
	BaseType           Kind = "base type"
	Function           Kind = "function"
	Procedure          Kind = "procedure"
	Aggregate          Kind = "aggregate"
	Operator           Kind = "operator"
	OperatorFamily     Kind = "operator family"
	OperatorClass      Kind = "operator class"
	Cast               Kind = "cast"
	Conversion         Kind = "conversion"
	Transform          Kind = "transform"
	TextSearchParser   Kind = "text search parser"
	TextSearchTemplate Kind = "text search template"
	TextSearchDict     Kind = "text search dictionary"
	TextSearchConfig   Kind = "text search configuration"
	ForeignDataWrapper Kind = "foreign data wrapper"
	ForeignServer      Kind = "server"
	Sequence           Kind = "sequence"
	Table              Kind = "table"
	VirtualTable       Kind = "virtual table"
	ForeignTable       Kind = "foreign table"
	Column             Kind = "column"
	Constraint         Kind = "constraint"
	View               Kind = "view"
	MaterializedView   Kind = "materialized view"
	Index              Kind = "index"
	Statistics         Kind = "statistics"
	Rule               Kind = "rule"
	Trigger            Kind = "trigger"
	Policy             Kind = "policy"
	Publication        Kind = "publication"
	Privileges         Kind = "privileges" // on the database itself, or an extension's object
	DefaultPrivileges  Kind = "default privileges"
	EventTrigger       Kind = "event trigger"
	Package            Kind = "package"
	PackageBody        Kind = "package body"
	Event              Kind = "event"
)

var kinds = []Kind{
	Schema, Extension, AccessMethod, Language, Collation, ShellType, Enum, Domain, Composite, Range, BaseType,
	Function, Procedure, Aggregate, Operator, OperatorFamily, OperatorClass, Cast, Conversion, Transform,
	TextSearchParser, TextSearchTemplate, TextSearchDict, TextSearchConfig, ForeignDataWrapper, ForeignServer,
	Sequence, Table, VirtualTable, ForeignTable, Column, View, MaterializedView, Index, Constraint, Statistics,
	Rule, Trigger, Policy, Publication, Privileges, DefaultPrivileges, EventTrigger, Package, PackageBody, Event,
}

var ranks = sync.OnceValue(func() map[Kind]int {
	m := make(map[Kind]int, len(kinds))
	for i, k := range kinds {
		m[k] = i
	}
	return m
})

// rank returns the position of a kind in the creation order; unknown kinds come last.
func (k Kind) rank() int {
	if r, ok := ranks()[k]; ok {
		return r
	}
	return len(kinds)
}

// relation reports whether objects of the kind share one namespace and own other objects.
func (k Kind) relation() bool {
	switch k {
	case Table, VirtualTable, ForeignTable, View, MaterializedView, Enum, Domain, Composite, Range, BaseType:
		return true
	}
	return false
}

// program reports whether objects of the kind have bodies of statements.
func (k Kind) program() bool {
	switch k {
	case Function, Procedure, Package, PackageBody, Trigger, Event:
		return true
	}
	return false
}
