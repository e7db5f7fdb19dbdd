module github.com/clusterlite/clusterlite/projections

go 1.26

require github.com/clusterlite/clusterlite/events v0.0.0

replace github.com/clusterlite/clusterlite/events => ../events
