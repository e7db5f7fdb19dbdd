module github.com/clusterlite/clusterlite/queryapi

go 1.26

require (
	github.com/clusterlite/clusterlite/events v0.0.0
	github.com/clusterlite/clusterlite/projections v0.0.0
	github.com/clusterlite/clusterlite/service v0.0.0
)

replace github.com/clusterlite/clusterlite/events => ../events

replace github.com/clusterlite/clusterlite/projections => ../projections

replace github.com/clusterlite/clusterlite/service => ../service
