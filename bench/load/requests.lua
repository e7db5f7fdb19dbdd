-- The requests that wrk sends. wrk.go sets the variables.
local threads = 0
function setup(thread)
  thread:set("thread", threads)
  threads = threads + 1
end

function init(args)
  method, body, salt = os.getenv("BENCH_METHOD"), os.getenv("BENCH_BODY"), os.getenv("BENCH_SALT")
  header, targets, sent = {}, {}, 0
  math.randomseed(thread + 1) -- each thread has an order of its own
  for line in io.lines(os.getenv("BENCH_TARGETS")) do targets[#targets + 1] = line end
  local kind = os.getenv("BENCH_TYPE")
  if kind ~= "" then header["Content-Type"] = kind end
  for i = 0, 9 do
    local name, value = string.match(os.getenv("BENCH_HEADER_" .. i) or "", "^(.-): (.*)$")
    if name then header[name] = value end
  end
  -- There are only a few different requests without a body, so they are built once.
  ready = {}
  if body == "" then
    for i, target in ipairs(targets) do ready[i] = wrk.format(method, target, header) end
  end
end

function request()
  sent = sent + 1
  if body == "" then return ready[math.random(#ready)] end
  local unique = string.format("%s-%d-%d", salt, thread, sent)
  return wrk.format(method, targets[1], header, (string.gsub(body, "{n}", unique)))
end

function done(summary, latency, requests)
  io.write(string.format('BENCH {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.timeout + summary.errors.read + summary.errors.connect + summary.errors.write))
end
