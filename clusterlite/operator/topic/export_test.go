package topic

// These are the results of the subcommands, and the maximum length of a document in a line.
type (
	ExportResult = exportResult
	ImportResult = importResult
	DigestPair   = digestPair
	ShownRecord  = shownRecord
)

const ShownDocument = shownDocument
