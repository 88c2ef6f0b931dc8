// Package graph answers the part of Kusto's query language that list commands send to Azure Resource Graph: a table, where, extend,
// project, order by, take.
package graph
