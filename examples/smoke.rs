use ipfs_persist_mount::*;
use std::sync::Arc;
fn main(){
  let a:Vec<String>=std::env::args().collect();
  tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr).init();
  let opts=blockstore::StoreOptions{backend:Some(datastore::backend(&a[1]).unwrap()),data_path:Some(a[2].clone().into()),..Default::default()};
  let store=blockstore::Blockstore::open(&opts, Arc::new(metrics::Metrics::default())).unwrap();
  let fs=fs::Filesystem::new(store, fs::FsOptions{block_bytes_max:2<<20,staging_bytes_max:256<<20,cid_options:block::CidOptions::default(),strict:false,no_delete:false,read_only:false,uid:0,gid:0});
  mount::serve(fs,&mount::ServeOptions{mount_point:a[3].clone().into(),source:"x".into(),read_only:false,allow_other:false,allow_non_empty:false,flags:vec![],stop_timeout:std::time::Duration::from_secs(10)},||eprintln!("READY")).unwrap();
}
