package importer

// Result is the result of the subcommand.
type Result = linesResult
