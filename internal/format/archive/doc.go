// Package archive writes and reads the objects of a recovery point as Velero's tar layout in a gzip stream of
// independent members.
//
// Any gzip and tar reader reads the whole: RFC 1952 section 2.2 lets a stream be a series of members. An index says
// in which member each object stands, so that one object, or one resource type, is read without the rest: a member
// holds objects of one type only, and not more than about memberSize bytes of them.
//
//	resources/<resource>[.<group>]/namespaces/<namespace>/<name>.json
//	resources/<resource>[.<group>]/cluster/<name>.json
//	metadata/version
//
// Everything that is read is treated as hostile: sizes and counts are bounded before anything is allocated.
package archive
