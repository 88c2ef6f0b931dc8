// Package metadb keeps the catalogue in SQLite or in PostgreSQL: one body of SQL, two ways to open it.
//
// Times are whole microseconds since 1970 in UTC, bodies are bytes, and text is compared byte by byte, so that both databases order,
// page and compare alike. What differs lies in sqlite.go, postgres.go and the migrations.
package metadb
