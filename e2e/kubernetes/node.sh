# Runs a node of a Kubernetes cluster: containerd, the kubelet and kube-proxy. The test starts it in the
# network namespace of its host, with mount and process namespaces of its own, so that everything that it
# starts ends with it.
#
#   node.sh NAME FOLDER PROGRAMS ADDRESS ZONE PODS    # PODS is the network of its pods
set -euo pipefail
name=$1 folder=$2 programs=$3 address=$4 zone=$5 pods=$6
mkdir -p "$folder"/{cni,containerd,run,kubelet,log,plugins}
# What programs keep at fixed paths must not meet that of other nodes or of this machine.
for path in /run/netns /run/containerd /var/lib/kubelet /var/log/containers; do
  [ -d "$path" ] || continue
  mount -t tmpfs tmpfs "$path"
done

cat >"$folder/cni/pods.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "$folder/addresses", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}
END
cat >"$folder/containerd.toml" <<END
version = 2
root = "$folder/containerd"
state = "$folder/run"
oom_score = 0
[grpc]
address = "$folder/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.example.com/pause:1"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$programs"
conf_dir = "$folder/cni"
END
cat >"$folder/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }
authorization: { mode: AlwaysAllow }
cgroupDriver: cgroupfs
cgroupRoot: /clusterlite-kubernetes/$name
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDNS: [10.0.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$folder/run/containerd.sock
evictionHard: { memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1% }
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
volumePluginDir: $folder/plugins
podLogsDir: $folder/log
resolvConf: ""
END
for controller in /sys/fs/cgroup/*/; do # control groups of version 1
  group=$controller/clusterlite-kubernetes/$name
  [[ $controller == */unified/ ]] || mkdir -p "$group"
  if [[ $controller == */cpuset/ ]]; then
    for file in cpuset.cpus cpuset.mems; do
      cat "$controller/$file" >"$controller/clusterlite-kubernetes/$file"
      cat "$controller/$file" >"$group/$file"
    done
  fi
done
sysctl -qw net.ipv4.ip_forward=1

containerd -c "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
until ctr -a "$folder/run/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
ctr -a "$folder/run/containerd.sock" -n k8s.io images import "$folder/../images.tar" >"$folder/import.log" 2>&1
"$programs/kubelet" --config "$folder/kubelet.yaml" --kubeconfig "$folder/../kubeconfig" --hostname-override "$name" --node-ip "$address" \
  --root-dir "$folder/kubelet" --cert-dir "$folder/certificates" --node-labels "topology.kubernetes.io/zone=$zone" >"$folder/kubelet.log" 2>&1 &
"$programs/kube-proxy" --kubeconfig "$folder/../kubeconfig" --hostname-override "$name" --proxy-mode iptables --cluster-cidr 10.124.0.0/16 \
  --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 >"$folder/kube-proxy.log" 2>&1 &
wait -n
